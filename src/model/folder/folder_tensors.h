// The tensors of a folder as those of a GGUF file: under its names and in its forms.
#pragma once

#include <vector>

#include "model/folder/families.h"
#include "model/folder/safetensors.h"
#include "model/gguf/gguf.h"

namespace throng::model {

// Matrices in BF16, F16 and F32 stay where they are. Others are made: vectors, norms and routers in F32, the
// queries and keys of Llama with rows in another order, experts as one tensor, MXFP4 as GGUF packs it. Throws
// kCorrupt or kUnsupported with one sentence for tensors that the family does not have or that do not fit.
std::vector<GgufContent::Tensor> ConvertTensors(const FolderConfig& config,
                                                const std::vector<StoredTensor>& stored);

}  // namespace throng::model
