"""Small tokenizers of the families that models use, trained in a moment on a few lines: no download, no file."""

import json
from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = """
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking -%}
{{ '<think>\\n\\n</think>\\n\\n' }}
{%- endif -%}
{%- endif -%}
"""
"""ChatML; with thinking turned off it writes an empty thought, as Qwen3's does."""

_CORPUS = [
    "Jerry Becerra: 9100672710, Francisco Laramee: 6780438158, Christian Becker: 6491980034.",
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on in the sun.",
    "user assistant system Please remember this number for me, to the letter.",
    "Café naïve résumé, Grüße aus Köln.\n\n  def recall(key):\n      return memory[key]\n",
]
_MARKERS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


def byte_level_bpe(
    normalizer: normalizers.Normalizer | None = None, vocab_size: int = 400, *, add_prefix_space: bool = False
) -> Tokenizer:
    """Every byte has a token, as in GPT-2, Llama 3, Qwen and SmolLM."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_MARKERS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def metaspace_bpe(vocab_size: int = 300) -> Tokenizer:
    """Spaces are ``▁``, one is put before a text, unknown characters fall back to bytes: as in Llama 2 and Mistral."""
    tokenizer = Tokenizer(models.BPE())
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.normalizer = spaces
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False)
    tokenizer.train_from_iterator(_CORPUS[:3], trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [name for name in tokenizer.get_vocab() if name not in names]
    vocab = {name: token_id for token_id, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([*names[:3], *_MARKERS])
    return tokenizer


def fast(
    tokenizer: Tokenizer, chat_template: str | None = CHAT_TEMPLATE, **special_tokens: str
) -> PreTrainedTokenizerFast:
    """``tokenizer`` as transformers wraps it; ``eos_token`` and the like by keyword."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens)
    wrapped.chat_template = chat_template
    return wrapped


@cache
def chat_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with a chat template; shared, so tests must leave it as it is."""
    return fast(byte_level_bpe(), eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@cache
def nfc_tokenizer() -> PreTrainedTokenizerFast:
    """The same with a normaliser that composes accents, as Qwen's."""
    return fast(byte_level_bpe(normalizers.NFC()), eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@cache
def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """A BPE of the SentencePiece kind."""
    return fast(metaspace_bpe(), unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>")


@cache
def prefix_space_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE that puts a space before a text, as OPT's and some of GPT-2's kind."""
    return fast(byte_level_bpe(add_prefix_space=True), eos_token="<|endoftext|>", pad_token="<|endoftext|>")
