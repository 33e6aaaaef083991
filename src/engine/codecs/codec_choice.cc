#include "engine/codecs/codec_choice.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/sas.h"
#include "base/error.h"
#include "kv/cache/block_pool.h"
#include "model/config.h"

namespace throng::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "throng-kv-choice";
constexpr int kVersion = 2;
constexpr int kOldVersion = 1;

std::string Shortened(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// Reads the members of one object, and refuses any that are not asked for.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
      throw MakeError(ErrorCode::kInvalid, "{}: found {}, expected a JSON object", where_, Shortened(object));
    }
  }

  const Json* Find(const char* key) {
    known_ += (known_.empty() ? "" : ", ") + std::string(key);
    const auto it = object_.find(key);
    if (it == object_.end()) return nullptr;
    return &*it;
  }
  const Json& Get(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) throw MakeError(ErrorCode::kInvalid, "{}: \"{}\" is missing", where_, key);
    return *value;
  }
  std::string String(const char* key) {
    const Json& value = Get(key);
    if (!value.is_string()) Fail(key, value, "a string");
    return value.get<std::string>();
  }
  // Not negative; 0 if it is missing.
  double Number(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return 0.0;
    if (!value->is_number() || !(value->get<double>() >= 0.0)) Fail(key, *value, "a number of at least 0");
    return value->get<double>();
  }
  [[noreturn]] void Fail(const char* key, const Json& value, const std::string& expected) const {
    throw MakeError(ErrorCode::kInvalid, "{}: \"{}\" is {}, expected {}", where_, key, Shortened(value),
                    expected);
  }
  void CheckAllUsed() const {
    for (const auto& [key, value] : object_.items()) {
      if ((", " + known_ + ",").find(", " + key + ",") != std::string::npos) continue;
      throw MakeError(ErrorCode::kInvalid, "{}: unknown member {} (allowed: {})", where_, Shortened(key),
                      known_);
    }
  }
  const std::string& Where() const { return where_; }

 private:
  const Json& object_;
  const std::string where_;
  std::string known_;
};

Digest ReadDigest(ObjectReader& reader, const char* key) {
  const std::string text = reader.String(key);
  if (text.size() != 32 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    reader.Fail(key, text, "a digest of 32 hexadecimal digits");
  }
  return {.high = std::stoull(text.substr(0, 16), nullptr, 16),
          .low = std::stoull(text.substr(16), nullptr, 16)};
}

kv::SoftmaxKind ReadSoftmax(ObjectReader& reader) {
  const Json* value = reader.Find("softmax");
  for (const kv::SoftmaxKind kind : {kv::SoftmaxKind::kExact, kv::SoftmaxKind::kSas}) {
    if (value == nullptr || *value == attention::SoftmaxName(kind)) return kind;
  }
  reader.Fail("softmax", *value, "\"exact\" or \"sas\"");
}

std::vector<kv::LayerCodecs> ReadLayers(ObjectReader& reader, const model::ModelConfig& config) {
  const Json& array = reader.Get("layers");
  if (!array.is_array()) reader.Fail("layers", array, "an array of {k, v}");
  if (array.size() != config.cache_layers.size()) {
    throw MakeError(ErrorCode::kInvalid, "{}: it names the codecs of {} layers, the model has {}",
                    reader.Where(), array.size(), config.cache_layers.size());
  }
  std::vector<kv::LayerCodecs> layers;
  for (const Json& object : array) {
    ObjectReader layer(object, fmt::format("{}: layer {}", reader.Where(), layers.size()));
    const kv::LayerShape& shape = config.cache_layers[layers.size()];
    const auto read = [&](const char* key, int head_dim) {
      std::string spec = layer.String(key);
      try {
        kv::ParseHeadCodecs(spec, shape.num_kv_heads, head_dim);
      } catch (const Error& error) {
        throw MakeError(error.Code(), "{}: {}: {}", layer.Where(), key, error.what());
      }
      return spec;
    };
    kv::LayerCodecs codecs{read("k", shape.key_dim), ""};
    if (!shape.values_in_keys) codecs.v = read("v", shape.value_dim);
    layer.CheckAllUsed();
    layers.push_back(std::move(codecs));
  }
  return layers;
}

std::vector<std::vector<double>> ReadPriorities(ObjectReader& reader, const char* key,
                                                const model::ModelConfig& config) {
  const Json& rows = reader.Get(key);
  const std::vector<kv::LayerShape>& shapes = config.cache_layers;
  const std::string arrays = fmt::format("{} arrays of numbers, one for each head", shapes.size());
  if (!rows.is_array() || rows.size() != shapes.size()) reader.Fail(key, rows, arrays);
  std::vector<std::vector<double>> priorities;
  for (const Json& row : rows) {
    const kv::LayerShape& shape = shapes[priorities.size()];
    const int num_heads = *key == 'v' && shape.values_in_keys ? 0 : shape.num_kv_heads;
    const std::string expected = fmt::format("{}: {} in layer {}", arrays, num_heads, priorities.size());
    if (!row.is_array() || row.size() != static_cast<size_t>(num_heads)) reader.Fail(key, row, expected);
    priorities.emplace_back();
    for (const Json& number : row) {
      if (!number.is_number()) reader.Fail(key, row, expected);
      priorities.back().push_back(number.get<double>());
    }
  }
  return priorities;
}

Json MeansToJson(const kv::KeyMeans& means) {
  Json layers = Json::array();
  for (const std::vector<float>& of_layer : means) {
    Json layer = Json::array();
    for (size_t i = 0; i < of_layer.size(); ++i) {
      if (of_layer[i] != 0.0f) layer.push_back({i, of_layer[i]});
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::shared_ptr<const kv::KeyMeans> ReadMeans(const ObjectReader& reader, const Json& layers,
                                              const model::ModelConfig& config) {
  const std::vector<kv::LayerShape>& shapes = config.cache_layers;
  const auto fail = [&](const Json& found, size_t elements) {
    reader.Fail("key_means", found,
                fmt::format("{} arrays of [element below {}, finite mean]", shapes.size(), elements));
  };
  const auto elements_of = [&](size_t layer) {
    return static_cast<size_t>(shapes[layer].num_kv_heads) * static_cast<size_t>(shapes[layer].key_dim);
  };
  if (!layers.is_array() || layers.size() != shapes.size()) fail(layers, elements_of(0));
  kv::KeyMeans means;
  for (const Json& layer : layers) {
    const size_t elements = elements_of(means.size());
    if (!layer.is_array()) fail(layer, elements);
    means.emplace_back(elements);
    for (const Json& item : layer) {
      if (!item.is_array() || item.size() != 2 || !item[0].is_number_unsigned() ||
          item[0].get<uint64_t>() >= elements || !item[1].is_number() ||
          !std::isfinite(item[1].get<float>())) {
        fail(item, elements);
      }
      means.back()[item[0].get<size_t>()] = item[1].get<float>();
    }
  }
  return std::make_shared<kv::KeyMeans>(std::move(means));
}

void CheckFormat(ObjectReader& reader) {
  const Json& format = reader.Get("format");
  if (format != kFormat) reader.Fail("format", format, fmt::format("\"{}\"", kFormat));
  const Json& version = reader.Get("version");
  if (version != kVersion && version != kOldVersion) {
    reader.Fail("version", version, fmt::format("{} or {}", kOldVersion, kVersion));
  }
}

// Checks members that may be left out of a choice written by hand.
void CheckBytes(ObjectReader& reader, const CodecChoice& choice, const model::ModelConfig& config) {
  const kv::BlockLayout layout = choice.Layout(config);
  const double bytes = BytesPerToken(layout);
  const Json* said = reader.Find("bytes_per_token");
  if (said != nullptr && (!said->is_number() || std::abs(said->get<double>() - bytes) > 0.01)) {
    reader.Fail("bytes_per_token", *said,
                fmt::format("{}, which is what these codecs take in this version", bytes));
  }
  const Json* window = reader.Find("window_bytes");
  if (window != nullptr && *window != WindowBytes(layout)) {
    reader.Fail("window_bytes", *window,
                fmt::format("{}, which is what these codecs take in this version", WindowBytes(layout)));
  }
  reader.Number("ratio_to_f16");
}

void ReadFigures(ObjectReader& reader, CodecChoice& choice) {
  choice.target = {reader.Number("kl_target"), reader.Number("p99_target")};
  choice.kl = {reader.Number("kl"), reader.Number("p99")};
  choice.held_out = {reader.Number("held_out_kl"), reader.Number("held_out_p99")};
}

}  // namespace

kv::BlockLayout CodecChoice::Layout(const model::ModelConfig& config) const {
  return kv::WithStates(kv::MakeLayout(layers, config.cache_layers, key_means), config.state_floats);
}

double BytesPerToken(const kv::BlockLayout& layout) {
  return static_cast<double>(kv::BlockPool(layout, 0).SealedBytes()) / kv::kPageTokens +
         SlidingBytesPerToken(layout);
}

double SlidingBytesPerToken(const kv::BlockLayout& layout) {
  return static_cast<double>(kv::BlockPool(layout, 0).SlidingBytes()) / kv::kPageTokens;
}

size_t WindowBytes(const kv::BlockLayout& layout) {
  const kv::BlockPool pool(layout, 0);
  const auto sinks = static_cast<size_t>(layout.window.sink_blocks);
  const auto recent = static_cast<size_t>(layout.window.recent_blocks);
  return (sinks + recent) * pool.FineBytes() - sinks * pool.SealedBytes();
}

double F16BytesPerToken(const kv::BlockLayout& layout) {
  double bytes = 0.0;
  for (const kv::LayerShape& shape : layout.layers)
    bytes += 2.0 * static_cast<double>(shape.StoredElements());
  return bytes;
}

std::string WriteChoice(const CodecChoice& choice, const Digest& model, const model::ModelConfig& config) {
  const kv::BlockLayout layout = choice.Layout(config);
  const double bytes = BytesPerToken(layout);
  Json json = {{"format", kFormat}, {"version", kVersion}, {"model", model.Hex()}};
  if (choice.text != Digest{}) {
    json["text"] = choice.text.Hex();
    json["softmax"] = attention::SoftmaxName(choice.softmax);
  }
  if (choice.target != KlFigures{}) {
    json["kl_target"] = choice.target.mean;
    json["p99_target"] = choice.target.p99;
    json["kl"] = choice.kl.mean;
    json["p99"] = choice.kl.p99;
    json["held_out_kl"] = choice.held_out.mean;
    json["held_out_p99"] = choice.held_out.p99;
  }
  json["bytes_per_token"] = bytes;
  json["ratio_to_f16"] = std::round(1000.0 * F16BytesPerToken(layout) / bytes) / 1000.0;
  if (layout.window != kv::FineWindow{}) json["window_bytes"] = WindowBytes(layout);
  Json layers = Json::array();
  for (const kv::LayerCodecs& layer : choice.layers) {
    Json& object = layers.emplace_back(Json{{"k", layer.k}});
    if (!layer.v.empty()) object["v"] = layer.v;
  }
  json["layers"] = std::move(layers);
  if (choice.key_means != nullptr) json["key_means"] = MeansToJson(*choice.key_means);
  if (!choice.priorities.keys.empty()) {
    json["head_priorities"] = {{"k", choice.priorities.keys}, {"v", choice.priorities.values}};
  }
  return json.dump(2) + "\n";
}

CodecChoice ReadChoice(std::string_view text, const std::string& where, const Digest& model,
                       const model::ModelConfig& config) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) {
    throw MakeError(ErrorCode::kInvalid, "{}: it is not JSON, expected a choice of KV codecs", where);
  }
  ObjectReader reader(json, where);
  CheckFormat(reader);
  CodecChoice choice;
  const Digest made_for = ReadDigest(reader, "model");
  if (made_for != model) {
    throw MakeError(ErrorCode::kInvalid, "{}: it was made for the model {}, this one is {}", where,
                    made_for.Hex(), model.Hex());
  }
  choice.layers = ReadLayers(reader, config);
  if (reader.Find("text") != nullptr) choice.text = ReadDigest(reader, "text");
  choice.softmax = ReadSoftmax(reader);
  ReadFigures(reader, choice);
  if (const Json* means = reader.Find("key_means")) choice.key_means = ReadMeans(reader, *means, config);
  CheckBytes(reader, choice, config);
  if (const Json* priorities = reader.Find("head_priorities")) {
    ObjectReader parts(*priorities, where + ": head_priorities");
    choice.priorities.keys = ReadPriorities(parts, "k", config);
    choice.priorities.values = ReadPriorities(parts, "v", config);
    parts.CheckAllUsed();
  }
  reader.CheckAllUsed();
  return choice;
}

}  // namespace throng::engine
