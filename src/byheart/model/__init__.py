"""The frozen base model and what is attached to it. The only room that imports transformers and peft."""
