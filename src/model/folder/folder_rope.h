#pragma once

#include <vector>

#include "model/folder/families.h"

namespace throng::model {

// Writes the keys rope.*. Returns the tensors with factors of frequencies, if the config has such.
std::vector<GgufContent::Tensor> WriteRope(const FolderConfig& config, GgufWriter& writer);

}  // namespace throng::model
