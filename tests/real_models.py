"""Well-known models, one or more of each family, in their real sizes. A new model is a function that makes its header, and its line in MODELS."""

from dataclasses import dataclass

from gguf_headers import attention, experts, feed_forward, norms, standard, start
from real_models_mixed import (falcon_h1, gemma3n, gemma4, glm_4_7_flash, granite4, granite_moe, hunyuan, hunyuan_moe, lfm2_moe, qwen35)


def llama(name, architecture="llama", vocab=128256, rope_factors=False, **sizes):
    header = start(name, architecture, vocab=vocab, **({"tokenizer": ("gpt2", "llama-bpe"), "rms": 1e-5} | sizes))
    header.set(vocab_size=vocab, rope__dimension_count=header.size["head_dim"])
    if rope_factors:
        header.vector("rope_freqs.weight", header.size["head_dim"] // 2)
    return header


def mixtral(name):
    header = llama(name, vocab=32000, tokenizer=("llama", "default"), layers=32, dim=4096, ffn=14336, heads=32, kv_heads=8, context=32768,
                   rope_base=1e6)
    header.set(expert_count=8, expert_used_count=2)
    for i in range(32):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i)
        experts(header, i, 8, 14336)
    return header


def llama4(name):
    header = llama(name, "llama4", vocab=202048, tokenizer=("gpt2", "llama4"), rope_factors=True, layers=48, dim=5120, ffn=16384, heads=40,
                   kv_heads=8, head_dim=128, context=10485760, rope_base=5e5)
    header.set(expert_count=16, expert_used_count=1, interleave_moe_layer_step=1, expert_feed_forward_length=8192)
    for i in range(48):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i)
        experts(header, i, 16, 8192)
        feed_forward(header, i, 8192, suffix="_shexp")
    return header


def granite(name, **sizes):
    header = llama(name, "granite", tokenizer=("gpt2", "refact"), **sizes)
    header.set(attention__scale=0.0078125, embedding_scale=12.0, residual_scale=0.22, logit_scale=16.0)
    return header


def qwen_moe(name, architecture, *, count, used, width, shared=0, bias="", head_norms=0, **sizes):
    header = start(name, architecture, tokenizer=("gpt2", "qwen2"), rms=1e-6, rope_base=1e6, vocab=151936, **sizes)
    header.set(expert_count=count, expert_used_count=used, expert_feed_forward_length=width)
    if shared:
        header.set(expert_shared_feed_forward_length=shared)
    for i in range(header.size["layers"]):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i, bias, head_norms)
        experts(header, i, count, width)
        if shared:
            feed_forward(header, i, shared, suffix="_shexp")
            header.vector(f"blk.{i}.ffn_gate_inp_shexp.weight", header.size["dim"])
    return header


def gemma3(name):
    header = start(name, "gemma3", layers=34, dim=2560, ffn=10240, heads=8, kv_heads=4, head_dim=256, vocab=262144, context=131072,
                   tokenizer=("llama", "default"), rms=1e-6, rope_base=1e6, tied=True)
    header.set(rope__scaling__type="linear", rope__scaling__factor=8.0, rope__freq_base_swa=10000.0, attention__sliding_window=1024)
    header.keys["tokenizer.ggml.add_space_prefix"] = False
    return standard(header, head_norms=256, names=("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"))


def gemma2(name):
    header = start(name, "gemma2", layers=26, dim=2304, ffn=9216, heads=8, kv_heads=4, head_dim=256, vocab=256000, context=8192,
                   tokenizer=("llama", "default"), rms=1e-6, tied=True)
    header.set(attn_logit_softcapping=50.0, final_logit_softcapping=30.0, attention__sliding_window=4096)
    header.keys["tokenizer.ggml.add_space_prefix"] = False
    return standard(header, names=("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"))


def lfm2(name):
    attends = (2, 5, 8, 10, 12, 14)
    header = start(name, "lfm2", layers=16, dim=2048, ffn=8192, heads=32, kv_heads=8, head_dim=64, vocab=65536, context=128000,
                   tokenizer=("gpt2", "lfm2"), rms=1e-5, rope_base=1e6, tied=True, says_head_dim=False)
    header.set(attention__head_count_kv=[8 if i in attends else 0 for i in range(16)], vocab_size=65536, shortconv__l_cache=3)
    header.tensors = [(name.replace("output_norm", "token_embd_norm"), kind, dims) for name, kind, dims in header.tensors]
    for i in range(16):
        norms(header, i, "attn_norm", "ffn_norm")
        if i in attends:
            attention(header, i, head_norms=64)
        else:
            header.matrix(f"blk.{i}.shortconv.in_proj.weight", 2048, 3 * 2048)
            header.vector(f"blk.{i}.shortconv.conv.weight", 3, 2048)
            header.matrix(f"blk.{i}.shortconv.out_proj.weight", 2048, 2048)
        feed_forward(header, i)
    return header


def qwen3_next(name):
    header = start(name, "qwen3next", layers=48, dim=2048, ffn=5120, heads=16, kv_heads=2, head_dim=256, vocab=151936, context=262144,
                   tokenizer=("gpt2", "qwen2"), rms=1e-6, rope_base=1e7)
    header.set(expert_count=512, expert_used_count=10, expert_feed_forward_length=512, expert_shared_feed_forward_length=512, ssm__conv_kernel=4,
               ssm__state_size=128, ssm__group_count=16, ssm__time_step_rank=32, ssm__inner_size=4096, full_attention_interval=4,
               rope__dimension_count=64)
    for i in range(48):
        block = f"blk.{i}."
        norms(header, i, "attn_norm", "post_attention_norm")
        if i % 4 == 3:
            header.matrix(block + "attn_q.weight", 2048, 2 * 4096)  # with gates
            header.matrix(block + "attn_k.weight", 2048, 512)
            header.matrix(block + "attn_v.weight", 2048, 512)
            header.matrix(block + "attn_output.weight", 4096, 2048)
            header.vector(block + "attn_q_norm.weight", 256)
            header.vector(block + "attn_k_norm.weight", 256)
        else:
            header.matrix(block + "attn_qkv.weight", 2048, 8192)
            header.matrix(block + "attn_gate.weight", 2048, 4096)
            header.matrix(block + "ssm_ba.weight", 2048, 64)
            header.vector(block + "ssm_conv1d.weight", 4, 8192)
            header.vector(block + "ssm_dt.bias", 32)
            header.vector(block + "ssm_a", 32)
            header.vector(block + "ssm_norm.weight", 128)
            header.matrix(block + "ssm_out.weight", 4096, 2048)
        experts(header, i, 512, 512)
        feed_forward(header, i, 512, suffix="_shexp")
        header.vector(block + "ffn_gate_inp_shexp.weight", 2048)
    return header


def gpt_oss(name):
    header = start(name, "gpt-oss", layers=24, dim=2880, ffn=2880, heads=64, kv_heads=8, head_dim=64, vocab=201088, context=131072,
                   tokenizer=("gpt2", "gpt-4o"), rms=1e-5, rope_base=150000)
    header.set(rope__scaling__type="yarn", rope__scaling__factor=32.0, rope__scaling__original_context_length=4096,
               rope__scaling__yarn_beta_fast=32.0, rope__scaling__yarn_beta_slow=1.0, expert_count=32, expert_used_count=4,
               attention__sliding_window=128, expert_feed_forward_length=2880)
    for i in range(24):
        norms(header, i, "attn_norm", "post_attention_norm")
        attention(header, i, "qkvo")
        header.vector(f"blk.{i}.attn_sinks.weight", 64)
        experts(header, i, 32, 2880, kind="MXFP4", bias=True)
    return header


def deepseek2(name, *, plain=128, rope=64, value=128, latent=512, q_rank=0, count, used, shared, width, dense, **sizes):
    header = start(name, "deepseek2", kv_heads=1, context=163840, rms=1e-6, rope_base=10000, **sizes)
    layers, dim, heads = (header.size[key] for key in ("layers", "dim", "heads"))
    header.set(vocab_size=sizes["vocab"], leading_dense_block_count=dense, attention__kv_lora_rank=latent, attention__key_length=latent + rope,
               attention__value_length=latent, attention__key_length_mla=plain + rope, attention__value_length_mla=value,
               expert_count=count, expert_used_count=used, expert_shared_count=shared, expert_feed_forward_length=width,
               rope__dimension_count=rope, rope__scaling__type="yarn", rope__scaling__factor=40.0,
               rope__scaling__original_context_length=4096, rope__scaling__yarn_beta_fast=32.0, rope__scaling__yarn_beta_slow=1.0)
    if q_rank:
        header.set(attention__q_lora_rank=q_rank)
    for i in range(layers):
        block = f"blk.{i}."
        norms(header, i, "attn_norm", "ffn_norm")
        if q_rank:
            header.matrix(block + "attn_q_a.weight", dim, q_rank)
            header.vector(block + "attn_q_a_norm.weight", q_rank)
            header.matrix(block + "attn_q_b.weight", q_rank, heads * (plain + rope))
        else:
            header.matrix(block + "attn_q.weight", dim, heads * (plain + rope))
        header.matrix(block + "attn_kv_a_mqa.weight", dim, latent + rope)
        header.vector(block + "attn_kv_a_norm.weight", latent)
        header.matrix(block + "attn_k_b.weight", plain, latent, heads)
        header.matrix(block + "attn_v_b.weight", latent, value, heads)
        header.matrix(block + "attn_output.weight", heads * value, dim)
        if i < dense:
            feed_forward(header, i)
        else:
            experts(header, i, count, width, selection_bias=q_rank > 0)
            feed_forward(header, i, shared * width, suffix="_shexp")
    return header


def deepseek_v2_lite(name):
    header = deepseek2(name, layers=27, dim=2048, ffn=10944, heads=16, vocab=102400, tokenizer=("gpt2", "deepseek-llm"), count=64, used=6, shared=2,
                       width=1408, dense=1)
    header.set(expert_group_count=1, expert_group_used_count=1, expert_gating_func=1, expert_weights_scale=1.0,
               rope__scaling__yarn_log_multiplier=0.0707)
    return header


def deepseek_v3(name):
    header = deepseek2(name, layers=61, dim=7168, ffn=18432, heads=128, vocab=129280, tokenizer=("gpt2", "deepseek-v3"), q_rank=1536, count=256,
                       used=8, shared=1, width=2048, dense=3)
    header.set(expert_group_count=8, expert_group_used_count=4, expert_gating_func=2, expert_weights_scale=2.5, expert_weights_norm=True,
               rope__scaling__yarn_log_multiplier=0.1)
    return header


def glm4(name):
    header = start(name, "glm4", layers=40, dim=4096, ffn=13696, heads=32, kv_heads=2, head_dim=128, vocab=151552, context=32768,
                   tokenizer=("gpt2", "glm4"), rms=1e-5, rope_base=10000)
    header.set(rope__dimension_count=64)
    for i in range(40):
        norms(header, i, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        attention(header, i, "qkv")
        header.matrix(f"blk.{i}.ffn_up.weight", 4096, 2 * 13696)
        header.matrix(f"blk.{i}.ffn_down.weight", 13696, 4096)
    return header


def glm4_moe(name):
    header = start(name, "glm4moe", layers=47, dim=4096, ffn=10944, heads=96, kv_heads=8, head_dim=128, vocab=151552, context=131072,
                   tokenizer=("gpt2", "glm4"), rms=1e-5, rope_base=1e6)
    header.set(expert_count=128, expert_used_count=8, expert_group_count=1, expert_group_used_count=1, rope__dimension_count=64,
               expert_feed_forward_length=1408, expert_shared_count=1, leading_dense_block_count=1, expert_gating_func=2,
               expert_weights_scale=1.0, expert_weights_norm=True, nextn_predict_layers=1)
    for i in range(47):
        norms(header, i, "attn_norm", "post_attention_norm")
        attention(header, i, "qkv")
        if i == 0:
            feed_forward(header, i)
        else:
            experts(header, i, 128, 1408, selection_bias=True)
            feed_forward(header, i, 1408, suffix="_shexp")
    header.matrix("blk.46.nextn.eh_proj.weight", 8192, 4096)
    for name in ("embed_tokens", "shared_head_head"):
        header.matrix(f"blk.46.nextn.{name}.weight", 4096, 151552)
    norms(header, 46, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")
    return header


def ernie_moe(name):
    header = start(name, "ernie4_5-moe", layers=28, dim=2560, ffn=12288, heads=20, kv_heads=4, head_dim=128, vocab=103424, context=131072,
                   tokenizer=("llama", "default"), rms=1e-5, rope_base=5e5, tied=True)
    header.set(expert_count=64, expert_used_count=6, interleave_moe_layer_step=1, leading_dense_block_count=1, expert_feed_forward_length=1536,
               expert_shared_count=2, expert_shared_feed_forward_length=3072)
    for i in range(28):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i)
        if i == 0:
            feed_forward(header, i)
        else:
            experts(header, i, 64, 1536, selection_bias=True)
            feed_forward(header, i, 3072, suffix="_shexp")
    return header


def olmo(name, window=0, **sizes):
    header = start(name, "olmo2", layers=32, dim=4096, ffn=11008, heads=32, kv_heads=32, rms=1e-6, rope_base=5e5, tokenizer=("gpt2", "dbrx"), **sizes)
    if window:
        header.set(attention__sliding_window=window, attention__sliding_window_pattern=[i % 4 != 3 for i in range(32)], rope__scaling__type="yarn",
                   rope__scaling__factor=8.0, rope__scaling__original_context_length=8192, rope__scaling__yarn_attn_factor=1.2079442,
                   rope__scaling__yarn_beta_fast=32.0, rope__scaling__yarn_beta_slow=1.0)
    return standard(header, head_norms="rows", names=("post_attention_norm", "post_ffw_norm"))


def exaone4(name):
    header = start(name, "exaone4", layers=30, dim=2048, ffn=4096, heads=32, kv_heads=8, head_dim=64, vocab=102400, context=65536,
                   tokenizer=("gpt2", "exaone4"), rms=1e-5, rope_base=1e6, tied=True)
    header.set(vocab_size=102400)
    header.vector("rope_freqs.weight", 32)
    return standard(header, head_norms=64, names=("post_attention_norm", "post_ffw_norm"))


def phi4_mini(name):
    header = start(name, "phi3", layers=32, dim=3072, ffn=8192, heads=24, kv_heads=8, vocab=200064, context=131072, tokenizer=("gpt2", "gpt-4o"),
                   rms=1e-5, rope_base=10000, tied=True)
    header.set(rope__scaling__original_context_length=4096, rope__dimension_count=96, attention__sliding_window=262144,
               rope__scaling__attn_factor=1.1902381)
    header.vector("rope_factors_long.weight", 48)
    header.vector("rope_factors_short.weight", 48)
    for i in range(32):
        norms(header, i, "attn_norm", "ffn_norm")
        header.matrix(f"blk.{i}.attn_qkv.weight", 3072, 5120)
        header.matrix(f"blk.{i}.attn_output.weight", 3072, 3072)
        header.matrix(f"blk.{i}.ffn_up.weight", 3072, 16384)
        header.matrix(f"blk.{i}.ffn_down.weight", 8192, 3072)
    return header


def command_r7b(name):
    header = start(name, "cohere2", layers=32, dim=4096, ffn=14336, heads=32, kv_heads=8, head_dim=128, vocab=256000, context=8192,
                   tokenizer=("gpt2", "command-r"), layer_norm=1e-5, rope_base=50000, tied=True)
    header.set(logit_scale=0.25, attention__sliding_window=4096, vocab_size=256000, rope__dimension_count=128, rope__scaling__type="none")
    return standard(header, names=("attn_norm",))


def command_r(name):
    header = start(name, "command-r", layers=40, dim=8192, ffn=22528, heads=64, kv_heads=64, vocab=256000, context=131072,
                   tokenizer=("gpt2", "command-r"), layer_norm=1e-5, rope_base=8e6, tied=True)
    header.set(logit_scale=0.0625, rope__scaling__type="none")
    return standard(header, names=("attn_norm",))


def ministral3(name):
    header = llama(name, "mistral3", vocab=131072, tokenizer=("gpt2", "tekken"), layers=26, dim=3072, ffn=9216, heads=32, kv_heads=8, head_dim=128,
                   context=262144, rope_base=1e6, tied=True)
    header.set(rope__scaling__type="yarn", rope__scaling__factor=16.0, rope__scaling__original_context_length=16384,
               rope__scaling__yarn_beta_fast=32.0, rope__scaling__yarn_beta_slow=1.0, rope__scaling__yarn_log_multiplier=1.0,
               attention__temperature_scale=0.1)
    return standard(header)


def gpt2(name):
    header = start(name, "gpt2", layers=12, dim=768, ffn=3072, heads=12, vocab=50257, context=1024, tokenizer=("gpt2", "gpt-2"), layer_norm=1e-5,
                   tied=True, norm_bias=True)
    header.vector("position_embd.weight", 768, 1024)
    for i in range(12):
        norms(header, i, "attn_norm", "ffn_norm", bias=True)
        header.matrix(f"blk.{i}.attn_qkv.weight", 768, 2304)
        header.vector(f"blk.{i}.attn_qkv.bias", 2304)
        header.matrix(f"blk.{i}.attn_output.weight", 768, 768)
        header.vector(f"blk.{i}.attn_output.bias", 768)
        feed_forward(header, i, gate=False, bias=True)
    return header


def starcoder2(name):
    header = start(name, "starcoder2", layers=30, dim=3072, ffn=12288, heads=24, kv_heads=2, vocab=49152, context=16384,
                   tokenizer=("gpt2", "starcoder"), layer_norm=1e-5, rope_base=999999.44, tied=True, norm_bias=True)
    return standard(header, bias="qkvo", norm_bias=True, gate=False, ffn_bias=True)


def nemotron(name):
    # The converter finds norm_eps under both names.
    header = start(name, "nemotron", layers=32, dim=3072, ffn=9216, heads=24, kv_heads=8, vocab=256000, context=4096,
                   tokenizer=("llama", "default"), rms=1e-5, layer_norm=1e-5, rope_base=10000, norm_bias=True)
    header.set(vocab_size=256000, rope__dimension_count=64, rope__scaling__type="none")
    return standard(header, norm_bias=True, gate=False)


def stablelm2(name):
    header = start(name, "stablelm", layers=24, dim=2048, ffn=5632, heads=32, kv_heads=32, vocab=100352, context=4096,
                   tokenizer=("gpt2", "stablelm2"), layer_norm=1e-5, norm_bias=True)
    header.set(rope__dimension_count=16, use_parallel_residual=False)
    return standard(header, bias="qkv", norm_bias=True)


def minicpm(name):
    header = start(name, "minicpm", layers=40, dim=2304, ffn=5760, heads=36, kv_heads=36, vocab=122753, context=4096, tokenizer=("llama", "default"),
                   rms=1e-5, tied=True)
    header.set(embedding_scale=12.0, residual_scale=1.4 / 40 ** 0.5, logit_scale=9.0)
    return standard(header)


@dataclass
class Model:
    repository: str
    header: object  # a function of the name
    parameters: int  # of the published checkpoint's text
    f16_per_token: int  # bytes of keys and values: layers * KV heads * head size * 2 * 2, or the latent rows


MODELS = [
    Model("meta-llama/Llama-3.2-1B-Instruct", lambda name: standard(llama(name, layers=16, dim=2048, ffn=8192, heads=32, kv_heads=8, head_dim=64,
          context=131072, rope_base=5e5, tied=True, rope_factors=True)), 1_235_814_400, 32_768),
    Model("meta-llama/Llama-3.1-8B-Instruct", lambda name: standard(llama(name, layers=32, dim=4096, ffn=14336, heads=32, kv_heads=8,
          context=131072, rope_base=5e5, rope_factors=True)), 8_030_261_248, 131_072),
    Model("meta-llama/Llama-4-Scout-17B-16E-Instruct", llama4, 107_769_861_120, 196_608),
    Model("mistralai/Mistral-7B-Instruct-v0.3", lambda name: standard(llama(name, vocab=32768, tokenizer=("llama", "default"), layers=32, dim=4096,
          ffn=14336, heads=32, kv_heads=8, context=32768, rope_base=1e6)), 7_248_023_552, 131_072),
    Model("mistralai/Mistral-Small-24B-Instruct-2501", lambda name: standard(llama(name, vocab=131072, tokenizer=("gpt2", "tekken"), layers=40,
          dim=5120, ffn=32768, heads=32, kv_heads=8, head_dim=128, context=32768, rope_base=1e8)), 23_572_403_200, 163_840),
    Model("mistralai/Mixtral-8x7B-Instruct-v0.1", mixtral, 46_702_792_704, 131_072),
    Model("HuggingFaceTB/SmolLM3-3B", lambda name: standard(llama(name, "smollm3", layers=36, dim=2048, ffn=11008, heads=16, kv_heads=4,
          context=65536, rope_base=5e6, rms=1e-6, tied=True)), 3_075_098_624, 73_728),
    Model("ByteDance-Seed/Seed-OSS-36B-Instruct", lambda name: standard(start(name, "seed_oss", layers=64, dim=5120, ffn=27648, heads=80, kv_heads=8,
          head_dim=128, vocab=155136, context=524288, tokenizer=("gpt2", "seed-coder"), rms=1e-6, rope_base=1e7), bias="qkv",
          names=("attn_norm", "post_attention_norm")), 36_151_104_512, 262_144),
    Model("Qwen/Qwen2.5-7B-Instruct", lambda name: standard(start(name, "qwen2", layers=28, dim=3584, ffn=18944, heads=28, kv_heads=4, vocab=152064,
          context=32768, tokenizer=("gpt2", "qwen2"), rms=1e-6, rope_base=1e6), bias="qkv"), 7_615_616_512, 57_344),
    Model("Qwen/Qwen3-8B", lambda name: standard(start(name, "qwen3", layers=36, dim=4096, ffn=12288, heads=32, kv_heads=8, head_dim=128,
          vocab=151936, context=40960, tokenizer=("gpt2", "qwen2"), rms=1e-6, rope_base=1e6), head_norms=128), 8_190_735_360, 147_456),
    Model("Qwen/Qwen3-30B-A3B", lambda name: qwen_moe(name, "qwen3moe", count=128, used=8, width=768, layers=48, dim=2048, ffn=6144, heads=32,
          kv_heads=4, head_dim=128, context=40960, head_norms=128), 30_532_122_624, 98_304),
    Model("Qwen/Qwen1.5-MoE-A2.7B-Chat", lambda name: qwen_moe(name, "qwen2moe", count=60, used=4, width=1408, shared=5632, bias="qkv", layers=24,
          dim=2048, ffn=5632, heads=16, kv_heads=16, context=8192), 14_315_784_192, 196_608),
    Model("Qwen/Qwen3-Next-80B-A3B-Instruct", qwen3_next, 79_674_391_296, 24_576),
    Model("google/gemma-2-2b-it", gemma2, 2_614_341_888, 106_496),
    Model("google/gemma-3-4b-it", gemma3, 3_880_099_328, 139_264),
    Model("openai/gpt-oss-20b", gpt_oss, 20_914_757_184, 49_152),
    Model("deepseek-ai/DeepSeek-V2-Lite-Chat", deepseek_v2_lite, 15_706_484_224, 31_104),
    Model("deepseek-ai/DeepSeek-V3", deepseek_v3, 671_026_419_200, 70_272),
    Model("zai-org/GLM-4-9B-0414", glm4, 9_400_279_040, 40_960),
    Model("zai-org/GLM-4.5-Air", glm4_moe, 110_468_824_832, 188_416),
    Model("baidu/ERNIE-4.5-21B-A3B-PT", ernie_moe, 21_825_437_888, 57_344),
    Model("ibm-granite/granite-3.3-8b-instruct", lambda name: standard(granite(name, vocab=49159, layers=40, dim=4096, ffn=12800, heads=32,
          kv_heads=8, context=131072, rope_base=1e7, tied=True)), 8_170_864_640, 163_840),
    Model("openbmb/MiniCPM-2B-sft-bf16", minicpm, 2_724_880_896, 368_640),
    Model("allenai/OLMo-2-1124-7B-Instruct", lambda name: olmo(name, vocab=100352, context=4096), 7_298_617_344, 524_288),
    Model("allenai/Olmo-3-7B-Instruct", lambda name: olmo(name, window=4096, vocab=100278, context=65536), 7_298_011_136, 524_288),
    Model("LGAI-EXAONE/EXAONE-4.0-1.2B", exaone4, 1_279_391_488, 61_440),
    Model("microsoft/Phi-4-mini-instruct", phi4_mini, 3_836_021_760, 131_072),
    Model("CohereLabs/c4ai-command-r7b-12-2024", command_r7b, 8_028_033_024, 131_072),
    Model("LiquidAI/LFM2-1.2B", lfm2, 1_170_340_608, 12_288),
    Model("openai-community/gpt2", gpt2, 124_439_808, 36_864),
    Model("bigcode/starcoder2-3b", starcoder2, 3_030_371_328, 30_720),
    Model("nvidia/Minitron-4B-Base", nemotron, 4_190_509_056, 131_072),
    Model("stabilityai/stablelm-2-zephyr-1_6b", stablelm2, 1_644_515_328, 196_608),
    Model("mistralai/Ministral-3-3B-Instruct-2512", ministral3, 3_429_006_336, 106_496),
    Model("internlm/internlm2_5-7b-chat", lambda name: standard(start(name, "internlm2", layers=32, dim=4096, ffn=14336, heads=32, kv_heads=8,
          vocab=92544, context=32768, tokenizer=("llama", "default"), rms=1e-5, rope_base=1e6)), 7_737_708_544, 131_072),
    Model("tencent/Hunyuan-7B-Instruct", lambda name: standard(hunyuan(name, "hunyuan-dense", ffn=14336, tokenizer=("gpt2", "hunyuan-dense")),
          head_norms=128), 7_504_568_320, 131_072),
    Model("tencent/Hunyuan-A13B-Instruct", hunyuan_moe, 80_393_183_232, 131_072),
    Model("baidu/ERNIE-4.5-0.3B-PT", lambda name: standard(start(name, "ernie4_5", layers=18, dim=1024, ffn=3072, heads=16, kv_heads=2,
          head_dim=128, vocab=103424, context=131072, tokenizer=("llama", "default"), rms=1e-5, rope_base=5e5, tied=True)), 360_748_032, 18_432),
    Model("CohereLabs/c4ai-command-r-v01", command_r, 34_980_831_232, 1_310_720),
    Model("zai-org/GLM-4.7-Flash", glm_4_7_flash, 31_221_488_576, 54_144),
    Model("Qwen/Qwen3.5-9B", lambda name: qwen35(name, "qwen35", layers=32, dim=4096, ffn=12288, kv_heads=4), 8_953_803_264,
          32_768),
    Model("Qwen/Qwen3.5-35B-A3B", lambda name: qwen35(name, "qwen35moe", layers=40, dim=2048, ffn=0, kv_heads=2, width=512),
          34_660_610_688, 20_480),
    Model("ibm-granite/granite-3.1-3b-a800m-instruct", granite_moe, 3_298_793_472, 65_536),
    Model("ibm-granite/granite-4.0-micro", lambda name: granite4(name, "granite", dim=2560, heads=40, attends=range(40), context=131072),
          3_402_836_480, 81_920),
    Model("ibm-granite/granite-4.0-h-micro", lambda name: granite4(name, "granitehybrid", dim=2048, heads=32, attends=(5, 15, 25, 35),
          context=1048576), 3_191_396_096, 8_192),
    Model("tiiuae/Falcon-H1-0.5B-Instruct", falcon_h1, 521_411_104, 18_432),
    Model("LiquidAI/LFM2-8B-A1B", lfm2_moe, 8_339_930_560, 12_288),
    Model("google/gemma-2b-it", lambda name: standard(start(name, "gemma", layers=18, dim=2048, ffn=16384, heads=8, kv_heads=1, head_dim=256,
          vocab=256000, context=8192, tokenizer=("llama", "default"), rms=1e-6, tied=True)), 2_506_172_416, 18_432),
    Model("google/gemma-3n-E2B-it", gemma3n, 4_458_122_848, 40_960),
    Model("google/gemma-4-E2B-it", lambda name: gemma4(name, layers=35, period=5, dim=1536, ffn=6144, heads=8, window=512, context=131072,
          shared=20, per_layer=256), 4_628_569_379, 18_432),
    Model("google/gemma-4-26B-A4B-it", lambda name: gemma4(name, layers=30, period=6, dim=2816, ffn=2112, heads=16, window=1024, context=262144,
          kv_heads=8, full_kv_heads=2, count=128, width=704), 25_233_141_790, 225_280),
]
