#include "model/load/inspection.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "kv/block_layout.h"
#include "model/gguf/gguf.h"
#include "model/load/refusals.h"

namespace throng::model {
namespace {

// "attention, window of 512; feed-forward"
std::string Describe(Layer& layer) {
  std::string text;
  layer.ForEachBlock(
      [&](const Block& block, const Norm&) { text += (text.empty() ? "" : "; ") + block.Describe(); });
  return text;
}

}  // namespace

Inspection Inspect(const GgufFile& file) {
  Inspection inspection;
  const std::string prefix = file.Name() + ": ";
  const auto refuse = [&](const Error& error) {
    std::string sentence = error.what();
    if (sentence.starts_with(prefix)) sentence.erase(0, prefix.size());
    inspection.refusals.push_back(std::move(sentence));
  };
  const auto attempt = [&](const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& error) {
      refuse(error);
    }
  };
  Refusals refusals(/*gathers=*/true);
  attempt([&] { inspection.architecture = file.String("general.architecture"); });
  if (inspection.refusals.empty()) attempt([&] { inspection.model = BuildModel(file, refusals); });
  for (const Error& error : refusals.Errors()) refuse(error);
  if (inspection.model != nullptr) {
    attempt([&] {
      kv::CheckShapes(inspection.model->config.cache_layers);
      inspection.has_cache = true;
    });
  }
  attempt([&] { inspection.chat = ChatTemplate::FromGguf(file); });
  attempt([&] {
    inspection.tokenizer.emplace(inspection.chat ? LoadTokenizer(file, *inspection.chat) : Tokenizer(file));
  });
  return inspection;
}

std::vector<TypeShare> TypesOfWeights(const GgufFile& file) {
  std::vector<TypeShare> shares;
  for (const TensorInfo& tensor : file.Tensors()) {
    const std::string type = TensorTypeName(tensor.type);
    auto share = std::ranges::find(shares, type, &TypeShare::type);
    if (share == shares.end()) share = shares.insert(share, {.type = type});
    ++share->tensors;
    share->parameters += tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
    share->bytes += tensor.bytes;
  }
  std::ranges::stable_sort(shares, std::ranges::greater(), &TypeShare::bytes);
  return shares;
}

std::vector<LayerGroup> LayerGroups(const Model& model) {
  std::vector<LayerGroup> groups;
  int number = 0;
  for (const auto& layer : model.layers) {
    std::string description = Describe(*layer);
    if (description.empty()) continue;
    auto group = std::ranges::find(groups, description, &LayerGroup::description);
    if (group == groups.end())
      group = groups.insert(group, {.description = std::move(description), .layers = {}});
    group->layers.push_back(number++);
  }
  return groups;
}

}  // namespace throng::model
