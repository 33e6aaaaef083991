// throng inspect: what a model holds, what it takes in memory, and whether it loads.

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text/human_bytes.h"
#include "base/text/utf8.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/codec_lists.h"
#include "cli/stdout.h"
#include "engine/codecs/codec_config.h"
#include "kv/cache/block_pool.h"
#include "kv/layer_codecs.h"
#include "model/folder/folder.h"
#include "model/gguf/gguf.h"
#include "model/load/inspection.h"

namespace throng::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model;
  std::string codecs = "f16,int8,flashq4,kivi3";
  bool json = false;
};

std::string Human(uint64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

// A number that files have whatever their architecture is.
Json HeaderNumber(const model::GgufFile& file, const std::string& architecture, const char* key) {
  try {
    return file.Int(architecture + "." + key);
  } catch (const Error&) {
    return nullptr;
  }
}

std::string HeaderText(const model::GgufFile& file, const char* key) {
  try {
    return ReplaceInvalidUtf8(file.StringOr(key, ""));
  } catch (const Error&) {
    return "";
  }
}

Json WeightsJson(const model::GgufFile& file) {
  uint64_t bytes = 0;
  Json types = Json::array();
  for (const model::TypeShare& share : model::TypesOfWeights(file)) {
    bytes += share.bytes;
    types.push_back({{"type", share.type},
                     {"tensors", share.tensors},
                     {"parameters", share.parameters},
                     {"bytes", share.bytes}});
  }
  return {{"bytes", bytes}, {"missing_bytes", file.MissingBytes()}, {"types", std::move(types)}};
}

Json LayersJson(const model::Model& model) {
  Json groups = Json::array();
  for (const model::LayerGroup& group : model::LayerGroups(model)) {
    groups.push_back({{"description", group.description}, {"layers", group.layers}});
  }
  return groups;
}

Json CacheJson(const model::ModelConfig& config, const std::string& codecs) {
  Json rows = Json::array();
  size_t state_bytes = 0;
  for (const std::string& codec : SplitCodecs(codecs)) {
    const kv::CodecFlags flags{.kv = codec};
    if (!engine::IsPlain(flags)) {
      throw MakeError(ErrorCode::kInvalid, "codec {}: what it takes is known when the model has run", codec);
    }
    const kv::BlockPool pool(
        kv::WithReaches(kv::WithStates(kv::MakeLayout(flags, config.cache_layers), config.state_floats),
                        config.cache_reaches),
        0);
    state_bytes = pool.StateBytes();
    rows.push_back({{"codec", codec},
                    {"bytes_per_1000_tokens", 1000 * pool.SealedBytes() / kv::kPageTokens},
                    {"bytes_of_windows", pool.MostSlidingBytes(config.context_length)},
                    {"bytes_of_context", pool.SequenceBytes(config.context_length)}});
  }
  return {{"shape", kv::ShapeName(config.cache_layers)},
          {"state_bytes", state_bytes},
          {"codecs", std::move(rows)}};
}

Json TokenJson(const model::Tokenizer& tokenizer, int32_t id) {
  if (id < 0) return nullptr;
  return {{"id", id}, {"name", ReplaceInvalidUtf8(tokenizer.TokenName(id))}};
}

Json TokenizerJson(const model::GgufFile& file, const model::Tokenizer& tokenizer) {
  Json ends = Json::array();
  for (const int32_t id : tokenizer.EndOfGeneration()) ends.push_back(TokenJson(tokenizer, id));
  return {{"model", HeaderText(file, "tokenizer.ggml.model")},
          {"pre", HeaderText(file, "tokenizer.ggml.pre")},
          {"tokens", tokenizer.VocabSize()},
          {"bos", TokenJson(tokenizer, tokenizer.Bos())},
          {"adds_bos", tokenizer.AddsBos()},
          {"adds_eos", tokenizer.AddsEos()},
          {"ends", std::move(ends)}};
}

Json ChatJson(const model::ChatTemplate& chat) {
  if (chat.IsDefault()) return nullptr;
  const model::ChatAbilities& abilities = chat.Abilities();
  return {{"system_messages", abilities.system_messages},
          {"text_contents", abilities.text_contents},
          {"part_contents", abilities.part_contents},
          {"object_arguments", abilities.object_arguments},
          {"tools", chat.Reads("tools")},
          {"enable_thinking", chat.Reads("enable_thinking")}};
}

// Null where the file has nothing, or nothing that can be read; `refusals` says why.
Json Facts(const model::GgufFile& file, const model::Inspection& inspection, const std::string& codecs) {
  const model::Model* model = inspection.model.get();
  const std::string& architecture = inspection.architecture;
  Json facts = {{"file", ReplaceInvalidUtf8(file.Name())}, {"loads", inspection.refusals.empty()}};
  facts["refusals"] = Json::array();
  for (const std::string& refusal : inspection.refusals)
    facts["refusals"].push_back(ReplaceInvalidUtf8(refusal));
  facts["architecture"] = ReplaceInvalidUtf8(architecture);
  facts["name"] = HeaderText(file, "general.name");
  facts["files"] = file.NumFiles();
  facts["weights"] = WeightsJson(file);
  facts["context_length"] = HeaderNumber(file, architecture, "context_length");
  facts["num_layers"] =
      model ? Json(model->config.num_layers) : HeaderNumber(file, architecture, "block_count");
  facts["layers"] = model ? LayersJson(*model) : Json();
  facts["kv"] = inspection.has_cache ? CacheJson(model->config, codecs) : Json();
  facts["tokenizer"] = inspection.tokenizer ? TokenizerJson(file, *inspection.tokenizer) : Json();
  facts["chat_template"] = inspection.chat ? ChatJson(*inspection.chat) : Json();
  return facts;
}

template <typename... Args>
void Line(std::string& text, std::string_view label, fmt::format_string<Args...> format, Args&&... args) {
  text += fmt::format("{:<15}{}\n", label, fmt::format(format, std::forward<Args>(args)...));
}

std::string NumberText(const Json& number) { return number.is_null() ? "unknown" : number.dump(); }

// "0-4, 6-10, 12"
std::string RangesText(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", numbers[i]);
    if (end - i > 1) text += fmt::format("-{}", numbers[end - 1]);
    i = end;
  }
  return text;
}

void AddWeights(const Json& facts, std::string& text) {
  const Json& weights = facts["weights"];
  uint64_t parameters = 0;
  for (const Json& type : weights["types"]) parameters += type["parameters"].get<uint64_t>();
  const bool many = parameters >= 1'000'000'000;
  const auto files = facts["files"].get<uint64_t>();
  Line(text, "weights", "{}, {:.2f} {} parameters, {} file{}", Human(weights["bytes"]),
       static_cast<double>(parameters) / (many ? 1e9 : 1e6), many ? "billion" : "million", files,
       files == 1 ? "" : "s");
  for (const Json& type : weights["types"]) {
    const auto bytes = type["bytes"].get<uint64_t>();
    Line(text, "  " + type["type"].get<std::string>(), "{} in {} tensors",
         bytes > 0 ? Human(bytes) : "unknown size", type["tensors"].get<uint64_t>());
  }
}

void AddLayers(const Json& facts, std::string& text) {
  Line(text, "layers", "{}", NumberText(facts["num_layers"]));
  if (facts["layers"].is_null()) return;
  for (const Json& group : facts["layers"]) {
    const auto layers = group["layers"].get<std::vector<int>>();
    Line(text, fmt::format("  {}", layers.size()), "{} ({})", group["description"].get<std::string>(),
         RangesText(layers));
  }
}

void AddCache(const Json& facts, std::string& text) {
  const Json& kv = facts["kv"];
  if (kv.is_null()) return;
  const uint64_t state = kv["state_bytes"];
  Line(text, "KV cache", "{}{}", kv["shape"].get<std::string>(),
       state > 0 ? fmt::format("; {} of state beside it", Human(state)) : "");
  // What layers with windows hold is there once, however long the text is.
  const bool slides =
      std::ranges::any_of(kv["codecs"], [](const Json& row) { return row["bytes_of_windows"] != 0; });
  const auto line = [&](const std::string& codec, const std::string& tokens, const std::string& windows,
                        const std::string& context) {
    Line(text, "  " + codec, "{:>12}{}{:>16}", tokens, slides ? fmt::format("{:>12}", windows) : "", context);
  };
  line("codec", "1000 tokens", "windows", "whole context");
  for (const Json& row : kv["codecs"]) {
    line(row["codec"], Human(row["bytes_per_1000_tokens"]), Human(row["bytes_of_windows"]),
         Human(row["bytes_of_context"]));
  }
}

void AddTokenizer(const Json& tokenizer, std::string& text) {
  if (tokenizer.is_null()) return;
  const auto pre = tokenizer["pre"].get<std::string>();
  Line(text, "tokenizer", "{}{}, {} tokens", tokenizer["model"].get<std::string>(),
       pre.empty() ? "" : " " + pre, tokenizer["tokens"].get<int>());
  if (!tokenizer["bos"].is_null()) {
    Line(text, "  begin", "{}, {} prompts", tokenizer["bos"]["name"].get<std::string>(),
         tokenizer["adds_bos"].get<bool>() ? "put before" : "not put before");
  }
  std::vector<std::string> ends;
  for (const Json& end : tokenizer["ends"]) ends.push_back(end["name"].get<std::string>());
  Line(text, "  end", "{}",
       ends.empty() ? "none: answers end at their limit" : fmt::format("{}", fmt::join(ends, " ")));
}

void AddChat(const Json& chat, std::string& text) {
  if (chat.is_null()) {
    Line(text, "chat template", "none");
    return;
  }
  std::vector<std::string> takes;
  if (chat["system_messages"]) takes.emplace_back("system messages");
  if (chat["tools"]) takes.emplace_back("tools");
  if (chat["part_contents"]) takes.emplace_back("contents in parts");
  if (chat["enable_thinking"]) takes.emplace_back("enable_thinking");
  Line(text, "chat template", "takes {}",
       takes.empty() ? "nothing but turns" : fmt::format("{}", fmt::join(takes, ", ")));
}

std::string Text(const Json& facts, bool has_chat) {
  std::string text;
  const auto name = facts["name"].get<std::string>();
  Line(text, "model", "{}{}", facts["architecture"].get<std::string>(), name.empty() ? "" : ", " + name);
  AddWeights(facts, text);
  Line(text, "context", "{} tokens", NumberText(facts["context_length"]));
  AddLayers(facts, text);
  AddCache(facts, text);
  AddTokenizer(facts["tokenizer"], text);
  if (has_chat) AddChat(facts["chat_template"], text);
  const uint64_t missing = facts["weights"]["missing_bytes"];
  Line(text, "loads", "{}{}", facts["loads"].get<bool>() ? "yes" : "no",
       missing > 0 ? fmt::format("; {} of data are missing from the file", Human(missing)) : "");
  for (const Json& refusal : facts["refusals"]) text += fmt::format("  - {}\n", refusal.get<std::string>());
  return text;
}

void Run(const Options& options) {
  const std::unique_ptr<model::GgufFile> file = model::OpenModel(options.model, model::GgufUse::kHeader);
  const model::Inspection inspection = model::Inspect(*file);
  const Json facts = Facts(*file, inspection, options.codecs);
  WriteStdout(options.json ? facts.dump(2) + "\n" : Text(facts, inspection.chat.has_value()));
  if (!inspection.refusals.empty()) {
    throw MakeError(ErrorCode::kUnsupported, "{}: does not load, for the reasons given", file->Name());
  }
}

}  // namespace

void AddInspect(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "Say what a model holds, what it takes in memory, and whether it loads");
  const auto options = std::make_shared<Options>();
  command->add_option("model", options->model, "GGUF file, any one of a model's parts, or folder")
      ->required();
  command->add_option("--kv", options->codecs, "Codecs of the KV cache to count the bytes of, after commas")
      ->capture_default_str();
  command->add_flag("--json", options->json, "The same as one JSON object");
  command->footer(
      "Reads a GGUF file's header alone: the file may end after it, as the first megabytes of a\n"
      "download do. A folder of safetensors is read as it is for a run.\n"
      "Everything that is not supported is named. Exit code 0: the model loads, when its data are\n"
      "complete; 1: it does not. docs/models.md says what loads.\n"
      "Examples:\n"
      "  throng inspect model.gguf\n"
      "  throng inspect model-00001-of-00003.gguf --kv f16,flashq4:sink=64 --json");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
