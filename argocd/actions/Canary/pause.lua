return ask("pause")
