// The families of models that folders hold: what config.json says, as keys of a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/folder/json_file.h"
#include "model/gguf/gguf.h"

namespace throng::model {

class GgufWriter;

struct Family {
  const char* model_class;   // config.json: architectures
  const char* architecture;  // general.architecture
  double norm_epsilon;       // where the config does not say
  double rope_base;          // where the config does not say
  // Rows of a head's queries and keys are put so that rotated pairs are neighbours, as GGUF has them.
  bool pairs_rows = false;
  // Norms multiply by 1 + weight.
  bool norms_plus_one = false;
  // There is a norm after attention besides the one before feed-forward, or one in its place.
  bool norms_results = false;
  bool tied = false;  // the output is the embedding where the config does not say
  const char* activation = "silu";
  uint32_t window_period = 0;  // each of so many layers, the last one, sees all positions; 0: all layers do
  void (*write)(const JsonObject& config, const Family& family, GgufWriter& writer);
};

// A model's config, of the text model where there are others beside it.
struct FolderConfig {
  const Family& family;
  JsonObject values;

  uint32_t HeadDim() const;
  bool IsTied() const { return values.BoolOr("tie_word_embeddings", family.tied); }
};

// Throws kUnsupported for a class that is unknown, with those that are known, and for weights that are
// quantised in another way than GGUF's types.
FolderConfig ReadFolderConfig(const JsonObject& config);

// Writes the keys of the architecture. Throws kCorrupt for a missing key, kUnsupported for values that are
// not computed. Returns the tensors that the config makes: factors of rope frequencies.
std::vector<GgufContent::Tensor> WriteConfig(const FolderConfig& config, GgufWriter& writer);

}  // namespace throng::model
