"""Let any causal language model think in vectors, and see whether that changes its answers.

    python examples/any_language_model.py MODEL [--n 8] [--thoughts 4]

MODEL is a folder, a hub id or a GGUF file. Nothing is trained: the loops are training-free.
"""

import argparse

from cot_attn import AttentionRecorder, ContinuousThoughtModel
from cot_attn.models import Feedback, Identity, MixtureOfInputs, Rescaled, Sampled, SoftThinking
from cot_attn.stats import share

QUESTIONS = [
    "Tom has 3 boxes with 4 apples each. How many apples does he have?",
    "A book costs 7 dollars. How many dollars do 6 books cost?",
    "Anna had 20 stamps and gave away 8. Then she got 5 more. How many stamps has she now?",
    "Ben saves 5 dollars a week. In how many weeks has he 45 dollars?",
]
LOOPS: dict[str, Feedback] = {
    "the hidden state": Identity(),
    "the hidden state, as long as an embedding": Rescaled(),
    "Soft Thinking": SoftThinking(temperature=0.6, top_k=30, top_p=0.95),
    "Mixture of Inputs": MixtureOfInputs(),
    "sampled words": Sampled(temperature=0.6, top_p=0.95),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tokenizer", help="a folder or hub id, where the model has none")
    parser.add_argument("--eot", default="The answer is", help="text that closes the thoughts")
    parser.add_argument("--n", type=int, default=len(QUESTIONS))
    parser.add_argument("--thoughts", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=12)
    asked = parser.parse_args()
    model = ContinuousThoughtModel.from_language_model(
        asked.model, tokenizer=asked.tokenizer, n_thoughts=asked.thoughts, eot=asked.eot
    )
    questions = QUESTIONS[: asked.n]
    plain = model.generate(questions, n_thoughts=0, max_new_tokens=asked.max_new_tokens)
    print(f"{model!r}\nwithout thoughts: {plain}")
    for name, loop in LOOPS.items():
        model.feedback = loop.to(device=model.device, dtype=model.dtype)
        with AttentionRecorder(model, queries=["eot"]) as recorder:
            answers = model.generate(questions, max_new_tokens=asked.max_new_tokens)
        attention = recorder.dataset()["attention"]
        keys = [f"thought {index}" for index in range(asked.thoughts)]
        on_thoughts = float(attention.sel(query="eot", key=keys).sum("key").mean())
        mean = share(attention, "eot").mean(["problem", "layer", "head"]).values
        shares = f"[{', '.join(f'{each:.2f}' for each in mean)}]"
        print(f"{name}: {answers}")
        print(f"  {on_thoughts:.1%} of EOT's attention is on thoughts; shares {shares}")


if __name__ == "__main__":
    main()
