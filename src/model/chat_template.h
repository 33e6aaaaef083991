// Chats as text, in the format that the model was trained on.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace throng::model {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; others only where the family has free roles
  std::string content;
};

enum class ChatFamily { kPlain, kChatMl, kLlama2, kLlama3, kMistral, kMistralV3, kPhi3, kGemma, kZephyr };

// "plain", "chatml", ...
const char* ChatFamilyName(ChatFamily family);

class ChatTemplate {
 public:
  // bos and eos: the names of these tokens, which some families write between turns.
  explicit ChatTemplate(ChatFamily family, std::string bos = "<s>", std::string eos = "</s>")
      : family_(family), bos_(std::move(bos)), eos_(std::move(eos)) {}
  // Recognises the family by the contents of tokenizer.chat_template. The template itself is not interpreted,
  // so a system message that it would add by itself is not added. An empty template is kPlain; throws
  // kUnsupported for a template of no known family.
  static ChatFamily Recognise(std::string_view source);
  // The template of the file's tokenizer.chat_template.
  static ChatTemplate FromGguf(const GgufFile& file);

  // Writes the chat without BOS (Encode adds it), ending, if asked, where the assistant's next message
  // begins. Parts with parse_special are the frame; the contents of messages never become control tokens.
  // kPlain writes only the contents, separated by line breaks. Families without a system message put it in
  // front of the user's next one. Throws kInvalid for a role that the family does not know.
  std::vector<TextPart> Format(std::span<const ChatMessage> messages,
                               bool add_generation_prompt = true) const;

  ChatFamily Family() const { return family_; }

 private:
  ChatFamily family_;
  std::string bos_, eos_;
};

// The parts as one text, for display and tests.
std::string JoinParts(std::span<const TextPart> parts);

}  // namespace throng::model
