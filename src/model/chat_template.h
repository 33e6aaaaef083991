// Chats as text, as the template of the model's file writes them. Throng runs the template itself
// (src/jinja); docs/chat-templates.md says what it is given.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/template.h"
#include "model/chat_abilities.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::model {

using Json = nlohmann::ordered_json;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", or what else the template knows
  std::string content;
};

// What a template is rendered with, in the form of transformers' apply_chat_template.
struct ChatInput {
  ChatInput() = default;
  ChatInput(const std::vector<ChatMessage>& chat);  // implicit: plain callers have nothing but messages

  // Objects with "role", and "content" (a string, null, or a list of parts such as {"type": "text", "text":
  // ...}), "tool_calls" (whose "arguments" are an object, or its text), and whatever else the template reads.
  Json messages = Json::array();
  Json tools;                       // a list of definitions of functions; null: none
  Json variables = Json::object();  // others, as chat_template_kwargs: enable_thinking, documents, ...
  bool add_generation_prompt = true;
  // The date that strftime_now tells. The default is a fixed one, so that equal chats are equal texts.
  std::chrono::local_seconds now = kFixedDate;
  static constexpr std::chrono::local_seconds kFixedDate =
      std::chrono::local_days(std::chrono::year(2025) / 1 / 1);
};

// The date and time of this machine, for ChatInput::now.
std::chrono::local_seconds LocalNow();

// Immutable: all methods may be called from any thread.
class ChatTemplate {
 public:
  // For models without a template: the contents of messages, separated by line breaks. Refuses calls of
  // tools.
  ChatTemplate();
  // bos and eos: what the template finds as bos_token and eos_token. Throws kInvalid with line and column for
  // what is no template.
  explicit ChatTemplate(std::string_view source, std::string bos = "<s>", std::string eos = "</s>");
  // The templates of the file: tokenizer.chat_template, and tokenizer.chat_template.tool_use for chats with
  // tools. A file without any gets the default, which says so when it is first used.
  static ChatTemplate FromGguf(const GgufFile& file);
  // The same with another template than the file's.
  static ChatTemplate FromGguf(const GgufFile& file, std::string_view source);

  // Parts with parse_special are the template's own words, which may name control tokens; what messages,
  // tools and variables say never does. Throws kInvalid if the template refuses the chat or fails,
  // kUnsupported if it has no place for tools that are given, kExhausted if it does not come to an end.
  std::vector<TextPart> Format(const ChatInput& chat) const;

  // Format as tokens, after one BOS if the template writes it or the model expects it.
  std::vector<int32_t> Encode(const ChatInput& chat, const Tokenizer& tokenizer) const;

  // The same for parts that Format gave.
  std::vector<int32_t> Encode(std::vector<TextPart> parts, const Tokenizer& tokenizer) const;

  // Whether it shows tools, and calls of them.
  bool KnowsTools() const;
  // Whether it reads a variable.
  bool Mentions(std::string_view variable) const { return standard_.parsed.Mentions(variable); }

  // The same for equal templates: "plain" for the default, else a digest.
  std::string Name() const;
  const std::string& Source() const { return source_; }
  bool IsDefault() const { return is_default_; }
  const ChatAbilities& Abilities() const { return standard_.abilities; }
  // Whether it reads this variable: "tools", "enable_thinking".
  bool Reads(std::string_view variable) const;

 private:
  struct Variant {
    jinja::Template parsed;
    ChatAbilities abilities;
    bool reads_calls;  // of tools, which it would leave out otherwise
  };
  struct Missing {
    std::string file;
    std::once_flag said;
  };
  Variant MakeVariant(std::string_view source) const;

  std::string source_;
  std::string bos_, eos_;
  bool is_default_ = false;
  std::shared_ptr<Missing> missing_;  // the file that should have had a template; null: none is missed
  Variant standard_;
  std::optional<Variant> with_tools_;  // the file's own template for chats with tools
};

// The tokenizer of a file, in which every name of a token that its chat template writes is that token: files
// that mark such tokens as normal or unused text are read with a warning.
Tokenizer LoadTokenizer(const GgufFile& file, const ChatTemplate& chat);

// The parts as one text, for display and tests.
std::string JoinParts(std::span<const TextPart> parts);

}  // namespace throng::model
