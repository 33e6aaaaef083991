"""Well-known models whose layers are of several kinds: recurrent ones, experts in some, inputs of each layer."""

from gguf_headers import attention, experts, feed_forward, norms, standard, start


def latent_attention(header, i, *, heads, plain, rope, value, latent, q_rank):
    block, dim = f"blk.{i}.", header.size["dim"]
    header.matrix(block + "attn_q_a.weight", dim, q_rank)
    header.vector(block + "attn_q_a_norm.weight", q_rank)
    header.matrix(block + "attn_q_b.weight", q_rank, heads * (plain + rope))
    header.matrix(block + "attn_kv_a_mqa.weight", dim, latent + rope)
    header.vector(block + "attn_kv_a_norm.weight", latent)
    header.matrix(block + "attn_k_b.weight", plain, latent, heads)
    header.matrix(block + "attn_v_b.weight", latent, value, heads)
    header.matrix(block + "attn_output.weight", heads * value, dim)


def glm_4_7_flash(name):
    header = start(name, "deepseek2", layers=48, dim=2048, ffn=10240, heads=20, kv_heads=1, vocab=154880, context=202752,
                   tokenizer=("gpt2", "glm4"), rms=1e-5, rope_base=1e6)
    header.set(expert_count=64, expert_used_count=4, expert_group_count=1, expert_group_used_count=1, leading_dense_block_count=1, vocab_size=154880,
               attention__q_lora_rank=768, attention__kv_lora_rank=512, attention__key_length=576, attention__value_length=512,
               attention__key_length_mla=256, attention__value_length_mla=256, expert_feed_forward_length=1536, expert_shared_count=1,
               expert_weights_scale=1.8, expert_weights_norm=True, rope__dimension_count=64, nextn_predict_layers=1)
    for i in range(48):
        norms(header, i, "attn_norm", "ffn_norm")
        latent_attention(header, i, heads=20, plain=192, rope=64, value=256, latent=512, q_rank=768)
        if i == 0:
            feed_forward(header, i)
        else:
            experts(header, i, 64, 1536, selection_bias=True)
            feed_forward(header, i, 1536, suffix="_shexp")
    header.matrix("blk.47.nextn.eh_proj.weight", 4096, 2048)
    for name in ("embed_tokens", "shared_head_head"):
        header.matrix(f"blk.47.nextn.{name}.weight", 2048, 154880)
    norms(header, 47, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")
    return header


def hunyuan(name, architecture, **sizes):
    header = start(name, architecture, layers=32, dim=4096, heads=32, kv_heads=8, head_dim=128, vocab=128167, context=262144,
                   rms=1e-5, rope_base=11158840.0, tied=True, **sizes)
    header.set(rope__scaling__type="none", rope__scaling__factor=1.0, rope__scaling__original_context_length=262144)
    return header


def hunyuan_moe(name):
    header = hunyuan(name, "hunyuan-moe", ffn=3072, tokenizer=("gpt2", "hunyuan"))
    header.set(expert_count=64, expert_used_count=8, expert_feed_forward_length=3072, expert_shared_count=1, expert_shared_feed_forward_length=3072)
    for i in range(32):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i, head_norms=128)
        experts(header, i, 64, 3072)
        feed_forward(header, i, 3072, suffix="_shexp")
    return header


def mamba2(header, i, *, heads, head_dim, state, norm):
    """With one group and a convolution of 4."""
    block, dim, inner = f"blk.{i}.", header.size["dim"], heads * head_dim
    header.matrix(block + "ssm_in.weight", dim, 2 * inner + 2 * state + heads)
    header.vector(block + "ssm_conv1d.weight", 4, inner + 2 * state)
    header.vector(block + "ssm_conv1d.bias", inner + 2 * state)
    header.vector(block + "ssm_dt.bias", heads)
    header.vector(block + "ssm_a", 1, heads)
    header.vector(block + "ssm_d", 1, heads)
    if norm:
        header.vector(block + "ssm_norm.weight", inner, 1)
    header.matrix(block + "ssm_out.weight", inner, dim)


def granite_moe(name):
    header = start(name, "granitemoe", layers=32, dim=1536, ffn=512, heads=24, kv_heads=8, vocab=49155, context=131072,
                   tokenizer=("gpt2", "refact"), rms=1e-6, rope_base=1e7, tied=True)
    header.set(expert_count=40, expert_used_count=8, vocab_size=49155, rope__dimension_count=64, attention__scale=0.015625, embedding_scale=12.0,
               residual_scale=0.22, logit_scale=6.0)
    for i in range(32):
        norms(header, i, "attn_norm", "ffn_norm")
        attention(header, i)
        experts(header, i, 40, 512)
    return header


def granite4(name, architecture, *, dim, heads, attends, context):
    """Dense. The converter writes keys of recurrent layers and of experts whether there are any or not."""
    header = start(name, architecture, layers=40, dim=dim, ffn=8192, heads=heads, kv_heads=8, vocab=100352, context=context,
                   tokenizer=("gpt2", "dbrx"), rms=1e-5, rope_base=1e7, tied=True)
    header.set(attention__head_count_kv=[8 if i in attends else 0 for i in range(40)], expert_count=0, expert_used_count=0, vocab_size=100352,
               rope__dimension_count=64, attention__scale=0.015625, embedding_scale=12.0, residual_scale=0.22, logit_scale=8.0,
               expert_shared_feed_forward_length=8192, ssm__conv_kernel=4, ssm__state_size=128, ssm__group_count=1, ssm__inner_size=4096,
               ssm__time_step_rank=64, rope__scaling__finetuned=len(attends) == 40)
    for i in range(40):
        norms(header, i, "attn_norm", "ffn_norm")
        if i in attends:
            attention(header, i)
        else:
            mamba2(header, i, heads=64, head_dim=64, state=128, norm=True)
        feed_forward(header, i)
    return header


def falcon_h1(name):
    header = start(name, "falcon-h1", layers=36, dim=1024, ffn=2048, heads=8, kv_heads=2, head_dim=64, vocab=32784, context=16384,
                   tokenizer=("gpt2", "falcon-h1"), rms=1e-5, rope_base=1e11)
    header.set(vocab_size=32784, ssm__conv_kernel=4, ssm__state_size=128, ssm__group_count=1, ssm__inner_size=1536, ssm__time_step_rank=24)
    for i in range(36):
        norms(header, i, "attn_norm")
        attention(header, i)
        mamba2(header, i, heads=24, head_dim=64, state=128, norm=False)
        header.vector(f"blk.{i}.ffn_norm", 1024)
        feed_forward(header, i)
    return header


def lfm2_moe(name):
    attends = (2, 6, 10, 14, 18, 21)
    header = start(name, "lfm2moe", layers=24, dim=2048, ffn=7168, heads=32, kv_heads=8, head_dim=64, vocab=65536, context=128000,
                   tokenizer=("gpt2", "lfm2"), rms=1e-5, rope_base=1e6, tied=True, says_head_dim=False)
    header.set(attention__head_count_kv=[8 if i in attends else 0 for i in range(24)], vocab_size=65536, shortconv__l_cache=3, expert_count=32,
               expert_used_count=4, expert_feed_forward_length=1792, leading_dense_block_count=2, expert_gating_func=2)
    header.tensors = [(tensor.replace("output_norm", "token_embd_norm"), kind, dims) for tensor, kind, dims in header.tensors]
    for i in range(24):
        norms(header, i, "attn_norm", "ffn_norm")
        if i in attends:
            attention(header, i, head_norms=64)
        else:
            header.matrix(f"blk.{i}.shortconv.in_proj.weight", 2048, 3 * 2048)
            header.vector(f"blk.{i}.shortconv.conv.weight", 3, 2048)
            header.matrix(f"blk.{i}.shortconv.out_proj.weight", 2048, 2048)
        if i < 2:
            feed_forward(header, i)
        else:
            experts(header, i, 32, 1792, selection_bias=True)
    return header


def qwen35(name, architecture, *, layers, dim, ffn, kv_heads, width=0):
    """width: of 256 experts; 0: none. All have 16 key heads and 32 value heads of 128 in recurrent layers."""
    header = start(name, architecture, layers=layers, dim=dim, ffn=ffn, heads=16, kv_heads=kv_heads, head_dim=256, vocab=248320, context=262144,
                   tokenizer=("gpt2", "qwen35"), rms=1e-6, rope_base=1e7)
    header.set(rope__dimension_sections=[11, 11, 10, 0], rope__dimension_count=64, full_attention_interval=4, ssm__conv_kernel=4, ssm__state_size=128,
               ssm__group_count=16, ssm__time_step_rank=32, ssm__inner_size=4096, attention__recurrent_layers=[i % 4 != 3 for i in range(layers)])
    if width:
        header.set(expert_count=256, expert_used_count=8, expert_feed_forward_length=width, expert_shared_feed_forward_length=width)
    for i in range(layers):
        block = f"blk.{i}."
        norms(header, i, "attn_norm", "post_attention_norm")
        if i % 4 == 3:
            header.matrix(block + "attn_q.weight", dim, 2 * 4096)  # with gates
            header.matrix(block + "attn_k.weight", dim, kv_heads * 256)
            header.matrix(block + "attn_v.weight", dim, kv_heads * 256)
            header.matrix(block + "attn_output.weight", 4096, dim)
            header.vector(block + "attn_q_norm.weight", 256)
            header.vector(block + "attn_k_norm.weight", 256)
        else:
            header.matrix(block + "attn_qkv.weight", dim, 8192)
            header.matrix(block + "attn_gate.weight", dim, 4096)
            header.matrix(block + "ssm_alpha.weight", dim, 32)
            header.matrix(block + "ssm_beta.weight", dim, 32)
            header.vector(block + "ssm_conv1d.weight", 4, 8192)
            header.vector(block + "ssm_dt.bias", 32)
            header.vector(block + "ssm_a", 32)
            header.vector(block + "ssm_norm.weight", 128)
            header.matrix(block + "ssm_out.weight", 4096, dim)
        if width:
            experts(header, i, 256, width)
            feed_forward(header, i, width, suffix="_shexp")
            header.vector(block + "ffn_gate_inp_shexp.weight", dim)
        else:
            feed_forward(header, i)
    return header


def per_layer_inputs(header, vocab, width):
    layers, dim = header.size["layers"], header.size["dim"]
    header.matrix("per_layer_token_embd.weight", layers * width, vocab)
    header.matrix("per_layer_model_proj.weight", dim, layers * width)
    header.vector("per_layer_proj_norm.weight", width)
    for i in range(layers):
        header.matrix(f"blk.{i}.inp_gate.weight", dim, width)
        header.matrix(f"blk.{i}.proj.weight", width, dim)
        norms(header, i, "post_norm")


def gemma3n(name):
    header = start(name, "gemma3n", layers=30, dim=2048, ffn=8192, heads=8, kv_heads=2, head_dim=256, vocab=262400, context=32768,
                   tokenizer=("llama", "default"), rms=1e-6, rope_base=1e6, tied=True)
    header.set(feed_forward_length=[8192] * 30, rope__freq_base_swa=10000.0, final_logit_softcapping=30.0, attention__sliding_window=512,
               altup__active_idx=0, altup__num_inputs=4, embedding_length_per_layer_input=256, attention__shared_kv_layers=10,
               activation_sparsity_scale=[1.6448536] * 10 + [float("-inf")] * 20, attention__sliding_window_pattern=[i % 5 != 4 for i in range(30)])
    header.keys["tokenizer.ggml.add_space_prefix"] = False
    per_layer_inputs(header, 262400, 256)
    for tensor in ("altup_proj", "altup_unembd_proj"):
        header.matrix(f"{tensor}.weight", 2048, 2048, 3)
    for i in range(30):
        block = f"blk.{i}."
        header.matrix(block + "laurel_l.weight", 2048, 64)
        header.matrix(block + "laurel_r.weight", 64, 2048)
        header.matrix(block + "altup_router.weight", 2048, 4)
        header.vector(block + "altup_predict_coef.weight", 4, 16)
        header.vector(block + "altup_correct_coef.weight", 4, 4)
        norms(header, i, "laurel_post_norm", "altup_router_norm", "altup_correct_scale")
    return standard(header, head_norms=256, names=("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"))


def gemma4(name, *, layers, period, dim, ffn, heads, window, context, shared=0, kv_heads=1, full_kv_heads=1, per_layer=0, count=0, width=0):
    """Heads of 256 in windows and of 512 elsewhere. shared: layers at the end whose feed-forward is twice as wide."""
    full = [i % period == period - 1 for i in range(layers)]
    header = start(name, "gemma4", layers=layers, dim=dim, ffn=ffn, heads=heads, kv_heads=kv_heads, head_dim=512, vocab=262144, context=context,
                   tokenizer=("gemma4", "default"), rms=1e-6, rope_base=1e6, tied=True)
    del header.keys["tokenizer.ggml.pre"]
    header.keys |= {"tokenizer.ggml.scores": [0.0] * 1000, "tokenizer.ggml.unknown_token_id": 0}
    header.set(feed_forward_length=[ffn if i < layers - shared else 2 * ffn for i in range(layers)] if shared else ffn,
               attention__head_count_kv=[full_kv_heads if each else kv_heads for each in full] if full_kv_heads != kv_heads else kv_heads,
               rope__freq_base_swa=10000.0, final_logit_softcapping=30.0, attention__sliding_window=window, attention__shared_kv_layers=shared,
               embedding_length_per_layer_input=per_layer, attention__sliding_window_pattern=[not each for each in full],
               attention__key_length_swa=256, attention__value_length_swa=256, expert_feed_forward_length=width, rope__dimension_count=512,
               rope__dimension_count_swa=256)
    header.vector("rope_freqs.weight", 256)
    if per_layer:
        per_layer_inputs(header, 262144, per_layer)
    if count:
        header.set(expert_count=count, expert_used_count=8)
    for i in range(layers):
        size = 512 if full[i] else 256
        kv = size * (full_kv_heads if full[i] else kv_heads)
        block = f"blk.{i}."
        norms(header, i, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        header.matrix(block + "attn_q.weight", dim, heads * size)
        header.matrix(block + "attn_output.weight", heads * size, dim)
        header.vector(block + "attn_q_norm.weight", size)
        if i < layers - shared:
            header.matrix(block + "attn_k.weight", dim, kv)
            header.vector(block + "attn_k_norm.weight", size)
            if not (full[i] and count):  # with experts, values are made of keys there
                header.matrix(block + "attn_v.weight", dim, kv)
        feed_forward(header, i, ffn if i < layers - shared else 2 * ffn)
        header.vector(block + "layer_output_scale.weight", 1)
        if not count:
            continue
        norms(header, i, "post_ffw_norm_1", "post_ffw_norm_2", "pre_ffw_norm_2")
        header.vector(block + "ffn_gate_inp.weight", dim, count)
        header.vector(block + "ffn_gate_inp.scale", dim)
        header.matrix(block + "ffn_gate_up_exps.weight", dim, 2 * width, count)
        header.matrix(block + "ffn_down_exps.weight", width, dim, count)
        header.vector(block + "ffn_down_exps.scale", count)
    return header
