"""Run as a process of its own, which knows transformers and PEFT and nothing of byheart.

    python peft_alone.py QUESTIONS ANSWERS

QUESTIONS is JSON: a list of {base, adapter, dtype, prompts, num_new}. ANSWERS gets, for each, the greedy continuations
and the logits after each prompt, and what PEFT warned of while loading.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@torch.no_grad()
def answers(question: dict) -> dict:
    dtype = getattr(torch, question["dtype"])
    base = AutoModelForCausalLM.from_pretrained(question["base"], dtype=dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, that PEFT calls what will be renamed
        model = PeftModel.from_pretrained(base, question["adapter"]).eval()
    continuations, logits = [], []
    for prompt in question["prompts"]:
        tokens = torch.tensor([prompt])
        logits.append(model(input_ids=tokens, use_cache=False).logits[0, -1].float().tolist())
        settings = {"do_sample": False, "max_new_tokens": question["num_new"], "pad_token_id": 0}
        output = model.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), **settings)
        continuations.append(output[0, len(prompt) :].tolist())
    return {"continuations": continuations, "logits": logits, "warnings": [str(each.message) for each in caught]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = [answers(question) for question in json.loads(Path(sys.argv[1]).read_text())]
    assert "byheart" not in sys.modules
    Path(sys.argv[2]).write_text(json.dumps(results))
