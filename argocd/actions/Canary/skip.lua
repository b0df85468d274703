return ask("skip")
