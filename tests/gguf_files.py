"""A tiny Llama as a GGUF file."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM


def write_llama(gguf: Any, path: Path, model: LlamaForCausalLM) -> None:
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_eos_token_id(config.eos_token_id)
    weights = model.state_dict()

    def add(name: str, tensor: torch.Tensor) -> None:
        writer.add_tensor(name, tensor.detach().float().contiguous().numpy())

    def paired(tensor: torch.Tensor, n_heads: int) -> torch.Tensor:
        """GGUF has the two halves of each head's rotation alternate."""
        rows = tensor.view(n_heads, 2, -1, tensor.shape[-1])
        return rows.swapaxes(1, 2).reshape(tensor.shape)

    add("token_embd.weight", weights["model.embed_tokens.weight"])
    add("output_norm.weight", weights["model.norm.weight"])
    for layer in range(config.num_hidden_layers):
        own, there = f"model.layers.{layer}.", f"blk.{layer}."
        for ours, theirs, n_heads in (
            ("self_attn.q_proj", "attn_q", config.num_attention_heads),
            ("self_attn.k_proj", "attn_k", config.num_key_value_heads),
        ):
            add(f"{there}{theirs}.weight", paired(weights[f"{own}{ours}.weight"], n_heads))
        for ours, theirs in (
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
        ):
            add(f"{there}{theirs}.weight", weights[f"{own}{ours}.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
