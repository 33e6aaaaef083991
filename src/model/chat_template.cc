#include "model/chat_template.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text/trim.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

constexpr std::string_view kPlainSource =
    "{%- for message in messages -%}"
    "{%- if message.tool_calls -%}{{ raise_exception('the model has no chat template, so no form for calls "
    "of tools') }}"
    "{%- endif -%}"
    "{{ '' if loop.first else '\\n' }}{{ message.content }}"
    "{%- endfor -%}";

// Roles that templates write inside of the name of a token, as in <|user|>. Another role is what a client
// says.
constexpr std::array<std::string_view, 13> kFrameRoles = {
    "system", "developer", "user",     "assistant", "tool",        "function",     "ipython",
    "model",  "context",   "document", "documents", "observation", "tool_response"};

const Json kNone;

// Finding out what a template can do takes a few renderings; none may take long.
constexpr jinja::Limits kProbeLimits{.steps = 500'000, .bytes = uint64_t{16} << 20, .depth = 200};

jinja::RenderOptions Options(std::chrono::local_seconds now, const jinja::Limits& limits) {
  return {.now = now, .limits = limits, .is_frame = [](std::string_view key, std::string_view text) {
            return key == "role" && std::ranges::find(kFrameRoles, text) != kFrameRoles.end();
          }};
}

std::vector<TextPart> ToParts(const jinja::Text& text) {
  std::vector<TextPart> parts;
  size_t pos = 0;
  const auto add = [&](size_t end, bool is_frame) {
    if (pos < end) parts.push_back({std::string(text.View().substr(pos, end - pos)), is_frame});
    pos = end;
  };
  for (const jinja::ByteRange& said : text.SaidRanges()) {
    add(said.begin, true);
    add(said.end, false);
  }
  add(text.Size(), true);
  return parts;
}

std::string TokenName(const GgufFile& file, const char* key) {
  const auto& tokens = file.Strings("tokenizer.ggml.tokens");
  const uint64_t id = file.UintOr(key, tokens.size());
  return id < tokens.size() ? std::string(tokens[id]) : "";
}

// Whether a name looks like those of control tokens: <|user|>, [INST], <start_of_turn>.
bool LooksSpecial(std::string_view name) {
  if (name.size() < 3 || name.find_first_of(" \t\n") != std::string_view::npos) return false;
  return (name.front() == '<' && name.back() == '>') || (name.front() == '[' && name.back() == ']');
}

}  // namespace

ChatInput::ChatInput(const std::vector<ChatMessage>& chat) {
  for (const ChatMessage& message : chat) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
}

std::chrono::local_seconds LocalNow() {
  const std::time_t now = std::time(nullptr);
  std::tm fields{};
  localtime_r(&now, &fields);
  return std::chrono::local_seconds(std::chrono::seconds(timegm(&fields)));
}

ChatTemplate::ChatTemplate() : ChatTemplate(kPlainSource) { is_default_ = true; }

ChatTemplate::ChatTemplate(std::string_view source, std::string bos, std::string eos)
    : source_(source), bos_(std::move(bos)), eos_(std::move(eos)), standard_(MakeVariant(source)) {}

ChatTemplate ChatTemplate::FromGguf(const GgufFile& file, std::string_view source) {
  return ChatTemplate(source, TokenName(file, "tokenizer.ggml.bos_token_id"),
                      TokenName(file, "tokenizer.ggml.eos_token_id"));
}

ChatTemplate ChatTemplate::FromGguf(const GgufFile& file) {
  const std::string_view source = file.StringOr("tokenizer.chat_template", "");
  if (Trimmed(source).empty()) {
    ChatTemplate chat;
    chat.missing_ = std::make_shared<Missing>();
    chat.missing_->file = file.Name();
    return chat;
  }
  try {
    ChatTemplate chat = FromGguf(file, source);
    if (const std::string_view with_tools = file.StringOr("tokenizer.chat_template.tool_use", "");
        !Trimmed(with_tools).empty()) {
      chat.with_tools_ = chat.MakeVariant(with_tools);
      chat.source_ += with_tools;
    }
    return chat;
  } catch (const Error& error) {
    throw Error(error.Code(), file.Name() + ": " + error.what());
  }
}

ChatTemplate::Variant ChatTemplate::MakeVariant(std::string_view source) const {
  const jinja::Template parsed(source);
  const Json bos = bos_, eos = eos_, generate = true;
  const auto render = [&](const Json& messages, const Json& tools) {
    const jinja::Variable variables[] = {{"messages", &messages},
                                         {"tools", &tools},
                                         {"bos_token", &bos},
                                         {"eos_token", &eos},
                                         {"add_generation_prompt", &generate}};
    return std::string(parsed.Render(variables, Options(ChatInput::kFixedDate, kProbeLimits)).View());
  };
  return {parsed, FindAbilities(render), source.find("tool_calls") != std::string_view::npos};
}

std::vector<TextPart> ChatTemplate::Format(const ChatInput& chat) const {
  const bool has_tools = !chat.tools.is_null() && !chat.tools.empty();
  const Variant& used = has_tools && with_tools_ ? *with_tools_ : standard_;
  if (has_tools && !used.parsed.Mentions("tools")) {
    throw MakeError(ErrorCode::kUnsupported, "tools: the chat template of this model has no place for them");
  }
  const bool has_calls = std::ranges::any_of(chat.messages, [](const Json& message) {
    return message.is_object() && !message.value("tool_calls", Json()).empty();
  });
  if (has_calls && !used.reads_calls) {
    throw MakeError(ErrorCode::kUnsupported,
                    "tool_calls: the chat template of this model has no place for them");
  }
  const Json messages = FitMessages(chat.messages, used.abilities);
  const Json bos = bos_, eos = eos_, generate = chat.add_generation_prompt;
  std::vector<jinja::Variable> variables = {{"messages", &messages, true},
                                            {"bos_token", &bos},
                                            {"eos_token", &eos},
                                            {"add_generation_prompt", &generate}};
  // Templates ask whether they are defined, or are none.
  variables.push_back({"tools", has_tools ? &chat.tools : &kNone, true});
  if (!chat.variables.contains("documents")) variables.push_back({"documents", &kNone, true});
  for (const auto& [name, value] : chat.variables.items()) {
    if (!used.parsed.Mentions(name)) {
      throw MakeError(ErrorCode::kInvalid, "variable {}: the chat template of this model does not read it",
                      name);
    }
    variables.push_back({name, &value, true});
  }
  return ToParts(used.parsed.Render(variables, Options(chat.now, {})));
}

std::vector<int32_t> ChatTemplate::Encode(const ChatInput& chat, const Tokenizer& tokenizer) const {
  return Encode(Format(chat), tokenizer);
}

bool ChatTemplate::KnowsTools() const {
  const Variant& used = with_tools_ ? *with_tools_ : standard_;
  return used.parsed.Mentions("tools") && used.reads_calls;
}

std::vector<int32_t> ChatTemplate::Encode(std::vector<TextPart> parts, const Tokenizer& tokenizer) const {
  if (missing_ != nullptr) {
    std::call_once(missing_->said, [this] {
      spdlog::warn(
          "{}: it has no chat template; a chat is given to the model as its messages, separated by line "
          "breaks",
          missing_->file);
    });
  }
  // The tokenizer adds the BOS that the template writes, so that there is one however the text is encoded.
  const bool writes_bos = !bos_.empty() && tokenizer.Bos() >= 0 && !parts.empty() && parts[0].parse_special &&
                          parts[0].text.starts_with(bos_);
  if (writes_bos) parts[0].text.erase(0, bos_.size());
  return tokenizer.Encode(parts, writes_bos || tokenizer.AddsBos());
}

bool ChatTemplate::Reads(std::string_view variable) const {
  return standard_.parsed.Mentions(variable) || (with_tools_ && with_tools_->parsed.Mentions(variable));
}

std::string ChatTemplate::Name() const {
  return is_default_ ? "plain" : DigestOf(source_).Hex().substr(0, 12);
}

Tokenizer LoadTokenizer(const GgufFile& file, const ChatTemplate& chat) {
  Tokenizer tokenizer(file);
  std::vector<int32_t> wrong;
  std::string names;
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    const std::string& name = tokenizer.TokenName(id);
    const TokenType type = tokenizer.Type(id);
    if ((type != TokenType::kNormal && type != TokenType::kUnused) || !LooksSpecial(name)) continue;
    if (chat.Source().find(name) == std::string::npos) continue;
    // Text that comes to this token by itself is text.
    if (type == TokenType::kNormal && tokenizer.Encode(name) == std::vector<int32_t>{id}) continue;
    wrong.push_back(id);
    names += (names.empty() ? "" : ", ") + name;
  }
  if (wrong.empty()) return tokenizer;
  spdlog::warn("{}: the chat template writes {}, which the file marks as text; taken as control tokens",
               file.Name(), names);
  TokenizerData data = ReadTokenizerData(file);
  data.types.resize(data.tokens.size());
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    data.types[static_cast<size_t>(id)] = tokenizer.Type(id);
  }
  for (const int32_t id : wrong) data.types[static_cast<size_t>(id)] = TokenType::kControl;
  return Tokenizer(std::move(data));
}

std::string JoinParts(std::span<const TextPart> parts) {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  return text;
}

}  // namespace throng::model
