// What a file's header says of a model, and everything in it that is not supported.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/chat_template.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {

struct Inspection {
  std::string architecture;      // empty: the file does not say it
  std::unique_ptr<Model> model;  // for its config and its layers, not for computing; null: not built
  bool has_cache = false;        // the model is built, and the KV cache can have the shapes of its layers
  std::optional<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;
  std::vector<std::string> refusals;  // one sentence each, without the file's name; empty: the model loads
};

// Reads no weights: the file may have been opened for its header.
Inspection Inspect(const GgufFile& file);

// The weights of a file by type, those with the most bytes first.
struct TypeShare {
  std::string type;
  uint64_t tensors = 0;
  uint64_t parameters = 0;
  uint64_t bytes = 0;  // 0: the type is unknown
};
std::vector<TypeShare> TypesOfWeights(const GgufFile& file);

// Layers of one kind: a few words, and which ones they are.
struct LayerGroup {
  std::string description;
  std::vector<int> layers;
};
// In the order of each kind's first layer.
std::vector<LayerGroup> LayerGroups(const Model& model);

}  // namespace throng::model
