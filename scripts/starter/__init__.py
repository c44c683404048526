"""How the starter model is made: its made-up texts, its tokenizer and its training."""
