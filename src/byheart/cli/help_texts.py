"""What ``--help`` teaches of each verb: what it does, how it is called, how it ends."""

ABOUT = """Makes a language model learn texts by heart, and proves that it has.

'byheart learn' writes the records of a file into a LoRA adapter and measures, token by token, that greedy decoding
gives every answer back to the letter.

\b
  byheart learn contacts.jsonl --out runs/contacts
  byheart show runs/contacts
  byheart recite runs/contacts "Farid Birchmoor:"
"""

LEARN = """Learn a file by heart, and prove it.

Trains an adapter until every token is above p = 0.5 or the budget is spent, measures it anew, and writes adapter,
certificate and records to one directory. Ctrl-C stops at a checkpoint; the same command goes on from there.

\b
  byheart learn contacts.jsonl --out runs/contacts

\b
Exit codes:
  0    every record comes back to the letter
  3    some do not; the bundle is written and says which
  2    bad input; nothing was done
  130  interrupted; the same command goes on
"""

CERTIFY = """Measure a bundle anew, on this machine.

Runs every record through the whole model, then lets it recite freely, and says whose verdict differs from the
certificate in the bundle, which stays as it is.

\b
  byheart certify runs/contacts
  byheart certify runs/contacts --out today.json

\b
Exit codes:
  0    every record comes back to the letter
  3    some do not
  2    bad input: no whole bundle, or another base model
  130  interrupted
"""

RECITE = """Ask a bundle, and get its answer to the byte.

Greedy decoding. The answer goes to stdout as it is; a newline is added only where stdout is a terminal.

\b
  byheart recite runs/contacts "Farid Birchmoor:"
  printf 'Farid Birchmoor:' | byheart recite runs/contacts -

\b
Exit codes:
  0    answered
  2    bad input: no whole bundle, another base model, no prompt
  130  interrupted
"""

SHOW = """Look at a bundle's certificate.

Prints the verdict, under which numerics it was measured, and the answers, each token coloured by its probability.
Tokens at or below 0.5 are named, with what beat them. Failed records come first; 20 are shown. Loads no model.

\b
  byheart show runs/contacts
  byheart show runs/contacts --failed

\b
Exit codes:
  0    every record comes back to the letter
  3    some do not
  2    bad input: no whole bundle
"""
