#include "model/chat_template.h"

#include <array>

#include "base/error.h"
#include "base/text/trim.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

constexpr std::array<const char*, 9> kFamilyNames = {"plain",      "chatml", "llama2", "llama3", "mistral",
                                                     "mistral-v3", "phi3",   "gemma",  "zephyr"};

// Collects parts: the frame as written here, and the contents of messages as plain text.
class Writer {
 public:
  void Frame(std::string_view text) { Append(text, true); }
  void Said(std::string_view text) { Append(text, false); }
  std::vector<TextPart> Take() { return std::move(parts_); }

 private:
  void Append(std::string_view text, bool is_frame) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().parse_special != is_frame) parts_.push_back({"", is_frame});
    parts_.back().text += text;
  }

  std::vector<TextPart> parts_;
};

// Strips as the templates' own language does.
std::string_view Stripped(std::string_view text) { return Trimmed(text, " \t\n\v\f\r"); }

using Messages = std::span<const ChatMessage>;

void WritePlain(Messages messages, Writer& out) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (i > 0) out.Said("\n");
    out.Said(messages[i].content);
  }
}

void WriteChatMl(Messages messages, bool generate, Writer& out) {
  for (const ChatMessage& message : messages) {
    out.Frame("<|im_start|>");
    out.Said(message.role);
    out.Frame("\n");
    out.Said(message.content);
    out.Frame("<|im_end|>\n");
  }
  if (generate) out.Frame("<|im_start|>assistant\n");
}

void WriteLlama3(Messages messages, bool generate, Writer& out) {
  for (const ChatMessage& message : messages) {
    out.Frame("<|start_header_id|>");
    out.Said(message.role);
    out.Frame("<|end_header_id|>\n\n");
    out.Said(Stripped(message.content));
    out.Frame("<|eot_id|>");
  }
  if (generate) out.Frame("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

// <|role|> is one control token, so Format lets known roles only come here.
void WriteRoleTokens(Messages messages, bool generate, std::string_view end, Writer& out) {
  for (const ChatMessage& message : messages) {
    out.Frame("<|" + message.role + "|>\n");
    out.Said(message.content);
    out.Frame(end);
    out.Frame("\n");
  }
  if (generate) out.Frame("<|assistant|>\n");
}

// For families without a system message: it joins the user's next turn, or becomes a turn at the end.
struct Turn {
  std::string system;
  std::string content;
  bool is_assistant;
};

std::vector<Turn> Turns(Messages messages) {
  std::vector<Turn> turns;
  std::string system;
  for (const ChatMessage& message : messages) {
    if (message.role == "system") {
      if (!system.empty()) system += "\n\n";
      system += message.content;
    } else if (message.role == "assistant") {
      turns.push_back({"", message.content, true});
    } else {
      turns.push_back({std::move(system), message.content, false});
      system.clear();
    }
  }
  if (!system.empty()) turns.push_back({"", system, false});
  return turns;
}

void WriteGemma(Messages messages, bool generate, Writer& out) {
  for (const Turn& turn : Turns(messages)) {
    out.Frame(turn.is_assistant ? "<start_of_turn>model\n" : "<start_of_turn>user\n");
    if (!turn.system.empty()) out.Said(turn.system + "\n\n");
    out.Said(Stripped(turn.content));
    out.Frame("<end_of_turn>\n");
  }
  if (generate) out.Frame("<start_of_turn>model\n");
}

// The user's turn ends where the assistant begins: there is no generation prompt.
void WriteLlama2(Messages messages, const std::string& bos, const std::string& eos, Writer& out) {
  bool is_first = true;
  for (const Turn& turn : Turns(messages)) {
    if (turn.is_assistant) {
      out.Frame(" ");
      out.Said(Stripped(turn.content));
      out.Frame(" " + eos);
      continue;
    }
    if (!is_first) out.Frame(bos);  // the first is Encode's
    is_first = false;
    out.Frame("[INST] ");
    if (!turn.system.empty()) {
      out.Frame("<<SYS>>\n");
      out.Said(turn.system);
      out.Frame("\n<</SYS>>\n\n");
    }
    out.Said(Stripped(turn.content));
    out.Frame(" [/INST]");
  }
}

void WriteMistral(Messages messages, std::string_view instruction_end, const std::string& eos, Writer& out) {
  for (const Turn& turn : Turns(messages)) {
    if (turn.is_assistant) {
      out.Frame(" ");
      out.Said(Stripped(turn.content));
      out.Frame(eos);
      continue;
    }
    out.Frame("[INST] ");
    if (!turn.system.empty()) out.Said(turn.system + "\n\n");
    out.Said(turn.content);
    out.Frame(instruction_end);
  }
}

void CheckRoles(Messages messages, ChatFamily family) {
  if (family == ChatFamily::kPlain || family == ChatFamily::kChatMl || family == ChatFamily::kLlama3) return;
  for (const ChatMessage& message : messages) {
    if (message.role == "system" || message.role == "user" || message.role == "assistant") continue;
    throw MakeError(ErrorCode::kInvalid,
                    "a message has the role \"{}\"; this model ({}) knows system, user and assistant",
                    message.role.substr(0, 100), ChatFamilyName(family));
  }
}

}  // namespace

const char* ChatFamilyName(ChatFamily family) { return kFamilyNames[static_cast<size_t>(family)]; }

ChatFamily ChatTemplate::Recognise(std::string_view source) {
  const auto has = [&](std::string_view text) { return source.find(text) != std::string_view::npos; };
  if (Stripped(source).empty()) return ChatFamily::kPlain;
  if (has("<|im_start|>") && !has("<|im_sep|>")) return ChatFamily::kChatMl;
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return ChatFamily::kLlama3;
  if (has("<start_of_turn>")) return ChatFamily::kGemma;
  if (has("[INST]") && has("<<SYS>>")) return ChatFamily::kLlama2;
  if (has("[INST]") && !has("[SYSTEM_PROMPT]")) {
    return has(" [/INST]") ? ChatFamily::kMistral : ChatFamily::kMistralV3;
  }
  if (has("<|assistant|>") && has("<|end|>")) return ChatFamily::kPhi3;
  if (has("<|assistant|>") && (has("eos_token") || has("</s>") || has("<|endoftext|>")))
    return ChatFamily::kZephyr;
  throw MakeError(
      ErrorCode::kUnsupported,
      "tokenizer.chat_template is of no known family (chatml, llama2, llama3, mistral, phi3, gemma, zephyr); "
      "it begins with \"{}\"",
      source.substr(0, 60));
}

ChatTemplate ChatTemplate::FromGguf(const GgufFile& file) {
  const ChatFamily family = Recognise(file.StringOr("tokenizer.chat_template", ""));
  const auto& tokens = file.Strings("tokenizer.ggml.tokens");
  const auto name = [&](const char* key, std::string_view usual) {
    const uint64_t id = file.UintOr(key, tokens.size());
    return std::string(id < tokens.size() ? tokens[id] : usual);
  };
  return ChatTemplate(family, name("tokenizer.ggml.bos_token_id", "<s>"),
                      name("tokenizer.ggml.eos_token_id", "</s>"));
}

std::vector<TextPart> ChatTemplate::Format(std::span<const ChatMessage> messages,
                                           bool add_generation_prompt) const {
  CheckRoles(messages, family_);
  Writer out;
  switch (family_) {
    case ChatFamily::kPlain:
      WritePlain(messages, out);
      break;
    case ChatFamily::kChatMl:
      WriteChatMl(messages, add_generation_prompt, out);
      break;
    case ChatFamily::kLlama2:
      WriteLlama2(messages, bos_, eos_, out);
      break;
    case ChatFamily::kLlama3:
      WriteLlama3(messages, add_generation_prompt, out);
      break;
    case ChatFamily::kMistral:
      WriteMistral(messages, " [/INST]", eos_, out);
      break;
    case ChatFamily::kMistralV3:
      WriteMistral(messages, "[/INST]", eos_, out);
      break;
    case ChatFamily::kPhi3:
      WriteRoleTokens(messages, add_generation_prompt, "<|end|>", out);
      break;
    case ChatFamily::kGemma:
      WriteGemma(messages, add_generation_prompt, out);
      break;
    case ChatFamily::kZephyr:
      WriteRoleTokens(messages, add_generation_prompt, eos_, out);
      break;
  }
  return out.Take();
}

std::string JoinParts(std::span<const TextPart> parts) {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  return text;
}

}  // namespace throng::model
