return ask("abort")
