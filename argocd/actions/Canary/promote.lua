return ask("promote")
