return ask("resume")
