// Builds recurrent blocks from a file: sizes of the keys ssm.* and shortconv.*, tensors ssm_* and shortconv.*.
#pragma once

#include <memory>

#include "model/load/builder.h"

namespace throng::model {

// shortconv.{in_proj,conv,out_proj}
std::unique_ptr<Block> BuildShortConv(ModelBuilder& builder, int layer);

// attn_qkv, attn_gate, ssm_{alpha,beta,conv1d,dt,a,norm,out}. neighbours_share: see DeltaNetConfig; then ssm_ba
// stands for ssm_alpha and ssm_beta.
std::unique_ptr<Block> BuildDeltaNet(ModelBuilder& builder, int layer, bool neighbours_share);

// ssm_{in,conv1d,dt,a,d,norm,out}
std::unique_ptr<Block> BuildMamba2(ModelBuilder& builder, int layer);

}  // namespace throng::model
