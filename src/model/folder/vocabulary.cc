#include "model/folder/vocabulary.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "model/folder/tokenizer_json.h"
#include "model/gguf/gguf_values.h"
#include "model/gguf/gguf_writer.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_index.h"

namespace throng::model {
namespace {

using nlohmann::json;

constexpr std::string_view kSpaceSymbol = "\u2581";

bool IsByteName(std::string_view name) {
  return name.size() == 6 && name.starts_with("<0x") && name.ends_with('>');
}

class VocabularyWriter {
 public:
  VocabularyWriter(const VocabularyFiles& files, uint32_t size, GgufWriter& writer)
      : json_(ReadTokenizerJson(files.tokenizer, files.folder + "/tokenizer.json")),
        tokenizer_(files.folder + "/tokenizer.json", json_.values),
        tokenizer_config_(files.folder + "/tokenizer_config.json", files.tokenizer_config),
        config_(files.folder + "/config.json", files.config),
        generation_config_(files.folder + "/generation_config.json", files.generation_config),
        chat_template_(files.chat_template),
        size_(size),
        writer_(writer) {}

  void Write() {
    const auto model = tokenizer_.Object("model");
    if (!model || model->TextOr("type", "BPE") != "BPE") {
      throw MakeError(ErrorCode::kUnsupported, "{}: is no vocabulary of type BPE, the only one that is known",
                      tokenizer_.Name());
    }
    by_characters_ = model->BoolOr("byte_fallback", false);
    ReadTokens(*model);
    if (const json* merges = model->Find("merges"); merges == nullptr || !merges->is_array())
      Fail("lacks the list model.merges");
    WriteKind();
    WriteTokens();
    WriteSpecial(*model);
    WriteEnds();
    WriteTemplates();
  }

 private:
  struct Token {
    std::string name;
    TokenType type = TokenType::kUnused;
  };

  static bool IsOfVocab(const Token& token) {
    return token.type == TokenType::kNormal || token.type == TokenType::kByte ||
           token.type == TokenType::kUnknown;
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw MakeError(ErrorCode::kCorrupt, "{}: {}", tokenizer_.Name(), what);
  }

  Token& At(size_t id) {
    if (id >= tokens_.size()) tokens_.resize(id + 1);
    return tokens_[id];
  }

  auto NameOf() const {
    return [this](int32_t id) -> std::string_view { return tokens_[static_cast<size_t>(id)].name; };
  }

  void ReadTokens(const JsonObject& model) {
    const auto vocab = model.Object("vocab");
    if (!vocab) Fail("lacks the key model.vocab");
    tokens_.resize(size_);
    for (const auto& [name, id] : json_.vocab) {
      Token& token = At(id);
      if (token.type != TokenType::kUnused) Fail(fmt::format("two tokens have the id '{}'", id));
      token = {std::string(name), by_characters_ && IsByteName(name) ? TokenType::kByte : TokenType::kNormal};
    }
    ReadAdded();
    const std::string unknown = model.TextOr("unk_token", "");
    ids_ = TextIndex(tokens_.size());
    for (size_t id = 0; id < tokens_.size(); ++id) {
      Token& token = tokens_[id];
      if (token.type == TokenType::kUnused) token.name = fmt::format("[PAD{}]", id);
      if (!unknown.empty() && token.name == unknown) token.type = TokenType::kUnknown;
      const auto first = static_cast<size_t>(ids_.Insert(token.name, static_cast<int32_t>(id), NameOf()));
      if (first != id && IsOfVocab(token) && IsOfVocab(tokens_[first]))
        Fail(fmt::format("the key {} occurs twice in an object", Quoted(token.name)));
    }
  }

  void ReadAdded() {
    const json* added = tokenizer_.Find("added_tokens");
    if (added == nullptr) return;
    for (const json& each : *added) {
      const bool sound =
          each.is_object() && each.contains("id") && each.contains("content") && each["content"].is_string();
      if (!sound)
        Fail(fmt::format("an added token is {}; an object with id and content is expected", ShortJson(each)));
      const JsonObject token(tokenizer_.Name(), each);
      const bool special = token.BoolOr("special", false);
      At(token.Count("id", kMaxTokens - 1)) = {token.Text("content"),
                                               special ? TokenType::kControl : TokenType::kUserDefined};
    }
  }

  // What puts a space in front of a text.
  bool HasPrefix() const {
    bool prefix = false;
    const auto normalizer = tokenizer_.Object("normalizer");
    std::vector<json> steps;
    if (normalizer) {
      const json* parts = normalizer->Find("normalizers");
      steps = parts == nullptr ? std::vector<json>{*tokenizer_.Find("normalizer")}
                               : parts->get<std::vector<json>>();
    }
    for (const json& step : steps) {
      const json prepended = {{"type", "Prepend"}, {"prepend", kSpaceSymbol}};
      const json replaced = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceSymbol}};
      if (step != prepended && step != replaced) {
        tokenizer_.Refuse("normalizer",
                          "U+2581 for spaces, and one in front, for a vocabulary of characters");
      }
      prefix = prefix || step == prepended;
    }
    const auto pre = tokenizer_.Object("pre_tokenizer");
    if (pre && pre->TextOr("type", "") == "Metaspace") {
      const bool added = pre->BoolOr("add_prefix_space", true);
      return pre->TextOr("prepend_scheme", added ? "always" : "never") != "never";
    }
    const json whole = {{"type", "Split"},
                        {"pattern", {{"String", " "}}},
                        {"behavior", "MergedWithPrevious"},
                        {"invert", false}};
    if (pre && *tokenizer_.Find("pre_tokenizer") != whole) {
      tokenizer_.Refuse("pre_tokenizer",
                        "none, Metaspace and splits at spaces for a vocabulary of characters");
    }
    return prefix;
  }

  void WriteKind() {
    if (!by_characters_) {
      writer_.Add("tokenizer.ggml.model", "gpt2");
      writer_.Add("tokenizer.ggml.pre", RecognisePreTokenizer(tokenizer_));
      writer_.Add("tokenizer.ggml.merges", json_.merges);
      return;
    }
    if (!HasPrefix()) {
      writer_.Add("tokenizer.ggml.model", "gemma4");
      writer_.Add("tokenizer.ggml.merges", json_.merges);
      return;
    }
    writer_.Add("tokenizer.ggml.model", "llama");
    writer_.Add("tokenizer.ggml.pre", "default");
    writer_.Add("tokenizer.ggml.add_space_prefix", true);
    writer_.Add("tokenizer.ggml.scores", Scores());
  }

  // SentencePiece orders its tokens by score, as the merges that make them are ordered.
  std::vector<float> Scores() const {
    std::vector<float> scores(tokens_.size(), -static_cast<float>(json_.merges.size()));
    for (size_t rank = json_.merges.size(); rank-- > 0;) {
      std::string made(json_.merges[rank]);
      std::erase(made, ' ');
      if (const auto id = IdOf(made)) scores[*id] = -static_cast<float>(rank);
    }
    return scores;
  }

  void WriteTokens() {
    std::vector<std::string_view> names;
    std::vector<int32_t> types;
    for (const Token& token : tokens_) {
      names.push_back(token.name);
      types.push_back(static_cast<int32_t>(token.type));
    }
    writer_.Add("tokenizer.ggml.tokens", names);
    writer_.Add("tokenizer.ggml.token_type", types);
  }

  std::optional<uint32_t> IdOf(std::string_view name) const {
    const int32_t id = ids_.Find(name, NameOf());
    return id < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(id));
  }

  // A token that tokenizer_config.json names, as a string or an object with its content.
  std::optional<uint32_t> Named(const char* key) const {
    const json* entry = tokenizer_config_.Find(key);
    if (entry == nullptr) return std::nullopt;
    if (entry->is_object()) return IdOf(tokenizer_config_.Object(key)->Text("content"));
    return IdOf(tokenizer_config_.Text(key));
  }

  void AddId(const char* key, std::optional<uint32_t> id) {
    if (id) writer_.Add(fmt::format("tokenizer.ggml.{}_token_id", key), *id);
  }

  // The first and the last token that the post-processor puts around a text.
  void ReadTemplate(const JsonObject& processor, std::optional<uint32_t>& first,
                    std::optional<uint32_t>& last) const {
    const json* parts = processor.Find("processors");
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      if (parts->is_array() && (*parts)[i].is_object()) {
        ReadTemplate(JsonObject(processor.Name(), (*parts)[i]), first, last);
      }
    }
    const json* single = processor.Find("single");
    if (single == nullptr || !single->is_array() || single->size() < 2) return;
    const auto token = [&](const json& part) -> std::optional<uint32_t> {
      if (!part.is_object() || !part.contains("SpecialToken")) return std::nullopt;
      return IdOf(JsonObject(processor.Name(), part["SpecialToken"]).Text("id"));
    };
    first = token(single->front());
    last = token(single->back());
  }

  void WriteSpecial(const JsonObject& model) {
    std::optional<uint32_t> first, last;
    if (const auto processor = tokenizer_.Object("post_processor")) ReadTemplate(*processor, first, last);
    std::optional<uint32_t> bos = Named("bos_token");
    if (!bos) bos = first ? first : FirstId(config_, "bos_token_id");
    AddId("bos", bos);
    AddId("unknown", IdOf(model.TextOr("unk_token", "")));
    AddId("padding", Named("pad_token"));
    writer_.Add("tokenizer.ggml.add_bos_token", tokenizer_config_.BoolOr("add_bos_token", first.has_value()));
    writer_.Add("tokenizer.ggml.add_eos_token", tokenizer_config_.BoolOr("add_eos_token", last.has_value()));
  }

  // One id, or each of a list.
  std::vector<uint32_t> Ids(const JsonObject& file, const char* key) const {
    const json* value = file.Find(key);
    if (value == nullptr) return {};
    std::vector<uint32_t> ids;
    for (const json& id : value->is_array() ? *value : json::array({*value})) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokens_.size()) {
        throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; ids below {} are expected", file.Name(), key,
                        ShortJson(*value), tokens_.size());
      }
      ids.push_back(id.get<uint32_t>());
    }
    return ids;
  }

  std::optional<uint32_t> FirstId(const JsonObject& file, const char* key) const {
    const std::vector<uint32_t> ids = Ids(file, key);
    return ids.empty() ? std::nullopt : std::optional(ids[0]);
  }

  void WriteEnds() {
    std::vector<uint32_t> ends;
    const auto add = [&](uint32_t id) {
      if (std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
    };
    if (const auto eos = Named("eos_token")) add(*eos);
    for (const JsonObject* file : {&generation_config_, &config_}) {
      for (const uint32_t id : Ids(*file, "eos_token_id")) add(id);
    }
    static constexpr const char* kKeys[] = {"eos", "eot", "eom"};
    for (size_t i = 0; i < ends.size(); ++i) {
      if (i < std::size(kKeys)) {
        AddId(kKeys[i], ends[i]);
      } else {
        spdlog::warn("{}: eos_token_id has more than {} tokens; {} is left out", generation_config_.Name(),
                     std::size(kKeys), tokens_[ends[i]].name);
      }
    }
  }

  // A string, or a list of objects with a name and a template.
  void WriteTemplates() {
    if (!chat_template_.empty()) {
      writer_.Add("tokenizer.chat_template", chat_template_);
      return;
    }
    const json* templates = tokenizer_config_.Find("chat_template");
    if (templates == nullptr) return;
    if (!templates->is_array()) {
      writer_.Add("tokenizer.chat_template", tokenizer_config_.Text("chat_template"));
      return;
    }
    for (const json& each : *templates) {
      const JsonObject entry(tokenizer_config_.Name() + ": chat_template", each);
      const std::string name = entry.Text("name");
      if (name == "default") writer_.Add("tokenizer.chat_template", entry.Text("template"));
      if (name == "tool_use") writer_.Add("tokenizer.chat_template.tool_use", entry.Text("template"));
    }
  }

  const TokenizerJson json_;
  const JsonObject tokenizer_, tokenizer_config_, config_, generation_config_;
  const std::string& chat_template_;
  const uint32_t size_;
  GgufWriter& writer_;
  bool by_characters_ = false;
  std::vector<Token> tokens_;
  TextIndex ids_;
};

}  // namespace

void WriteVocabulary(const VocabularyFiles& files, uint32_t size, GgufWriter& writer) {
  try {
    VocabularyWriter(files, size, writer).Write();
  } catch (const json::exception& error) {  // a list or an object is of another kind
    throw MakeError(ErrorCode::kCorrupt, "{}/tokenizer.json: {}", files.folder, error.what());
  }
}

}  // namespace throng::model
