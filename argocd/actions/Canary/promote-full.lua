return ask("promoteInFull")
