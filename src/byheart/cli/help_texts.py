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
  2    bad input, and nothing was done; or nothing more could be, such as on a full disk
  130  interrupted; the same command goes on
"""

CERTIFY = """Measure a bundle anew, on this machine.

Runs every record through the whole model, then lets it recite freely, and says whose verdict differs from the
certificate in the bundle, which stays as it is. Given records, it measures any PEFT adapter, whoever made it.

\b
  byheart certify runs/contacts
  byheart certify runs/contacts --out today.json
  byheart certify my-adapter contacts.jsonl

\b
Exit codes:
  0    every record comes back to the letter
  3    some do not
  2    bad input: no whole bundle or adapter, or another base model
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

TASK = """Write the records of one of the paper's benchmarks.

\b
phonebook     invented names and ten-digit numbers
long-context  the beginning of a novel or of a text of yours, some of its tokens random
linear-rule   values of f(x, y) = 3x + 5y + 7; with --test-out, unseen ones beside them
scenarios     eight texts in which a near miss is worth nothing
records       the first records of a file

The same settings and tokenizer give the same records. What has many records is the beginning of what has more.

\b
  byheart task phonebook --tokens 2000 --out phonebook.jsonl
  byheart task long-context --tokens 500 --ratio 0.2 --out text.jsonl
  byheart task records --source all.jsonl --pairs 50 --out some.jsonl

\b
Exit codes:
  0    the records are written
  2    bad input; nothing was written
"""

SWEEP = """Run a grid of learning runs into one table.

Each combination of the axes' values is a cell: a run with its own fingerprint, learnt, certified and measured. Ctrl-C
ends after the cells under way, a second one at once; the same command goes on with those that are left.

\b
  byheart sweep examples/law_probe.yaml --out sweeps/probe
  byheart sweep examples/law_probe.yaml --out sweeps/probe --workers 4

\b
The table is DIR/results.parquet, its grid DIR/grid.yaml. A grid reads like this:
  base: {placement: {layers: "20", modules: down_proj}, method: {name: sft}, learn: {epochs: 400, keep: last}}
  task: {name: long-context, random_ratio: 1.0}
  axes: {lora_rank: [1, 2, 4, 8], num_answer_tokens: [50, 100, 200]}

\b
Exit codes:
  0    every cell has a result
  3    some failed; the table says why, the rest is done
  2    bad input; or a node that cannot run cells, and what is done is kept
  130  interrupted; the same command goes on
"""

FIT = """Fit the Parametric Memory Law to a sweep.

Finds C, α, β and b of ΔL = C·r^α·ℓ^-β + b, by group and over all cells, with 95 % intervals: how far the loss falls by
the adapter's size r and the number of answer tokens ℓ. Cells whose loss ends below ln 2 hold all there was to learn;
they are left out and counted, as are failed and unconverged ones. Writes law.json and figures. Loads no model.

\b
  byheart fit sweeps/probe
  byheart fit sweeps/probe --by task,task.random_ratio
  byheart fit sweeps/probe --by placement --axis num_parameters

\b
Exit codes:
  0    every group is fitted
  3    some cannot be; the reason is told, the rest is fitted
  2    bad input, or nothing could be fitted; nothing was written
  130  interrupted; law.json is whole, or as it was before
"""

EXPORT = """Write a bundle as another engine loads it.

\b
gguf    one file for llama.cpp
ollama  base, adapter and a Modelfile under which prompts have the certified token ids
peft    for vLLM and SGLang: the rank padded to one that they take
mlx     for mlx-lm
merged  the base with the adapter inside, certified again as it is saved

An export that an engine would misread in silence is refused, with the reason. With --check every record runs in
llama.cpp; what came back is a second certificate in the bundle.

\b
  byheart export runs/contacts --to gguf --check
  byheart export runs/contacts --to peft --out served/contacts

\b
Exit codes:
  0    written; what was checked comes back to the letter
  3    written, but some records do not come back there
  2    bad input, or the engine would misread it; nothing was written
  130  interrupted; nothing was written
"""

REPORT = """Make a page to look at, of a bundle, a sweep or a reproduction.

One HTML file that needs nothing else and asks no network. Of a bundle: the answers token by token, each with its p and
what competes with it, and how learning went. Of a sweep: the law, heat maps, every cell. Of a reproduction: what was
found, and the paper's tables and figures with the published numbers beside ours. Loads no model.

A bundle's page holds its records' texts, as the bundle does; --no-text leaves them out.

\b
  byheart report runs/contacts
  byheart report runs/contacts --no-text --out numbers.html

\b
Exit codes:
  0    the page is written
  2    bad input: neither a whole bundle nor a sweep; nothing was written
  130  interrupted; nothing was written
"""

REPRODUCE = """Make the paper's tables and figures, ours beside the published numbers.

Runs the cells that they need and that have no result yet, then makes each as Markdown and CSV, or SVG and PNG. Tables
and figures share cells. Ctrl-C lets the cells under way end; the same command goes on.

\b
table1       how well the law holds       figure2      law, predicted against measured, heat maps
table2       the methods by rank          figure3      where free runs fail, and p > 0.5
table3       f(x, y) = 3x + 5y + 7        figure4-6    accuracy over rank and length, by method
table4       the eight scenarios          figure7-9    convergence by method
table5, 6    settings, theirs and ours    figure10-13  p of every token, lengths by ranks

\b
  byheart reproduce all --preset tiny --out reproduction/tiny
  byheart reproduce table1 figure2 --preset small --out reproduction/small --workers 2
  byheart reproduce all --preset qwen3-8b --out reproduction/qwen3-8b --engine ray --address 10.0.0.1:6379

\b
Presets: tiny, three minutes, to see that all works; small, the embedded model, an hour and a half on two cores;
qwen3-8b and llama-3.1-8b, the paper as it was, on GPUs.

\b
Exit codes:
  0    everything asked for is made
  3    some cells failed, or something could not be made of them; the reason is told
  2    bad input; nothing was run
  130  interrupted; the same command goes on
"""

PLAN = """Say which rank a file of records needs, before any of it is learnt.

Measures how far the base model is from the answers, and answers from cells that 'byheart calibrate' ran for this
model, placement and method: of each rank how likely every record ends certified, the loss that is left, size and time.
The smallest rank that does with probability 0.9 is in bold. Beyond what was calibrated it says so, and how far.

'byheart learn' with --lora-rank auto takes the same plan, from rank 8 up: smaller ones are padded when served.

\b
  byheart plan contacts.jsonl
  byheart plan contacts.jsonl --goal 0.95 --json
  byheart plan contacts.jsonl --method sft --out plan.svg

\b
Exit codes:
  0    a rank reaches the goal
  3    none does; what comes nearest is told
  2    bad input, or no calibration for this model, placement and method
  130  interrupted
"""

CALIBRATE = """Run the cells that plans for a model and a placement need.

Random text, prose and a phone book in three sizes, each at two or three ranks, learnt with the default settings: some
are held with ease, some cannot be held. The cheapest cell is run first, and tells how long the rest may take. Ctrl-C
ends after the cells under way, a second one at once; the same command goes on. Several --workers share the cores and
are done sooner, while each cell takes longer than a run that has them all: plans tell times as they were then.

\b
  byheart calibrate smollm2-135m
  byheart calibrate smollm2-135m --workers 2
  byheart calibrate smollm2-135m --layers 20 --modules down_proj

\b
Exit codes:
  0    the calibration is stored
  3    some cells failed; it is made of the others
  2    bad input, or cells that tell nothing of when recall comes
  130  interrupted; the same command goes on
"""

SERVE = """Answer OpenAI's clients with a bundle, by llama.cpp.

Prompts that it holds are answered from memory, all others as the base model answers them; greedily, unless a client
sets a temperature. Before it answers, every record's prompt is proved to have the certified token ids in llama.cpp.
This machine alone can ask; elsewhere an API key is needed. What it converts is kept in the user's cache.

\b
  byheart serve runs/contacts
  byheart serve runs/contacts --host 0.0.0.0 --api-key-file key.txt

\b
  POST /v1/chat/completions, /v1/completions   GET /v1/models, /health

\b
Exit codes:
  0    stopped by Ctrl-C or SIGTERM
  2    bad input, the port is in use, or a prompt has other token ids there; it did not answer
  130  interrupted before it answered
"""
