// GET /api/tags, /api/ps and /api/version, POST /api/show

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/digest.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "serve/endpoints.h"
#include "serve/fields/json_fields.h"
#include "serve/ollama/ollama.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

// The Ollama whose API this is: clients refuse what says that it is older than they need.
constexpr const char* kOllamaVersion = "0.12.0";
constexpr const char* kNever = "9999-12-31T23:59:59Z";  // when the model leaves the memory

// What the model's file holds; a model made in memory, as in tests, has none.
struct Contents {
  uint64_t parameters = 0;
  uint64_t bytes = 0;
  std::string type;  // of most of the bytes
};

Contents ContentsOf(const engine::LocalModel& model) {
  Contents contents;
  if (model.Loaded().file == nullptr) return contents;
  std::map<std::string, uint64_t> bytes_of_type;
  for (const model::TensorInfo& tensor : model.Loaded().file->Tensors()) {
    contents.parameters += tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
    contents.bytes += tensor.bytes;
    bytes_of_type[model::TensorTypeName(tensor.type)] += tensor.bytes;
  }
  uint64_t most = 0;
  for (const auto& [type, bytes] : bytes_of_type) {
    if (bytes > std::exchange(most, std::max(most, bytes))) contents.type = type;
  }
  return contents;
}

std::string ParameterSize(uint64_t parameters) {
  const auto number = static_cast<double>(parameters);
  if (number >= 1e9) return fmt::format("{:.1f}B", number / 1e9);
  return fmt::format("{:.2f}M", number / 1e6);
}

Json Details(const engine::LocalModel& model, const Contents& contents) {
  const std::string& family = model.Config().architecture;
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", family},
          {"families", Json::array({family})},
          {"parameter_size", ParameterSize(contents.parameters)},
          {"quantization_level", contents.type}};
}

// Of the model's file, if it is there.
std::string ModifiedAt(const engine::LocalModel& model) {
  struct stat status {};
  const bool found = stat(model.Options().model.c_str(), &status) == 0;
  return OllamaTime(found ? status.st_mtime : 0);
}

Json Entry(const engine::LocalModel& model) {
  const Contents contents = ContentsOf(model);
  const std::string name = OllamaName(model);
  // Tells models apart for those who look; the weights would have to be read for theirs.
  const Digest digest = Hasher().Add(model.Options().model).Add(contents.bytes).Finish();
  return {{"name", name},           {"model", name},          {"modified_at", ModifiedAt(model)},
          {"size", contents.bytes}, {"digest", digest.Hex()}, {"details", Details(model, contents)}};
}

// Every model is told of tools, in words of ours where its template knows none.
Json Capabilities(const engine::LocalModel& model) {
  Json capabilities = {"completion", "tools"};
  if (model.Answers().HasThoughts()) capabilities.push_back("thinking");
  return capabilities;
}

HttpReply ReplyWith(const Json& json) {
  HttpReply reply;
  reply.body = Dump(json);
  return reply;
}

}  // namespace

std::string OllamaName(const engine::LocalModel& model) {
  const std::string name = model.Name();
  return name.find(':') == name.npos ? name + ":latest" : name;
}

HttpReply OllamaVersion(Context& context, const HttpRequest& request) {
  return ReplyWith({{"version", kOllamaVersion}});
}

HttpReply OllamaTags(Context& context, const HttpRequest& request) {
  return ReplyWith({{"models", Json::array({Entry(context.Model())})}});
}

HttpReply OllamaPs(Context& context, const HttpRequest& request) {
  const engine::LocalModel& model = context.Model();
  Json entry = Entry(model);
  entry["expires_at"] = kNever;
  entry["size_vram"] = model.Options().device == "cpu" ? Json(0) : entry["size"];
  entry["context_length"] = model.Options().max_context;
  return ReplyWith({{"models", Json::array({entry})}});
}

HttpReply OllamaShow(Context& context, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  const JsonFields fields(kOllamaShow, body);
  const engine::LocalModel& model = context.Model();
  const Contents contents = ContentsOf(model);
  const model::GgufFile* file = model.Loaded().file.get();
  const model::ModelConfig& config = model.Config();
  const Json info = {{"general.architecture", config.architecture},
                     {"general.parameter_count", contents.parameters},
                     {config.architecture + ".context_length", model.Options().max_context},
                     {config.architecture + ".embedding_length", config.dim},
                     {config.architecture + ".block_count", config.num_layers}};
  return ReplyWith(
      {{"modelfile", ""},
       {"parameters", ""},
       {"template", file == nullptr ? "" : std::string(file->StringOr("tokenizer.chat_template", ""))},
       {"modified_at", ModifiedAt(model)},
       {"details", Details(model, contents)},
       {"model_info", info},
       {"capabilities", Capabilities(model)}});
}

}  // namespace throng::serve
