"""Reading, greedy decoding and scoring on our own models.

What reading leaves is a value: the state of a prompt and the logits behind it. So a beginning that
prompts share is read once and continued by each, a text is written and any number of texts are
scored behind one reading, and what is being written can change its neighbours at every token.
Nothing is padded: no prompt knows of the others.
"""
