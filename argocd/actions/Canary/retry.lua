return ask("retry")
