// Chats as text, in the format that the model was trained on.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace throng::model {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; others only where the family has free roles
  std::string content;
};

enum class ChatFamily { kPlain, kChatMl, kLlama2, kLlama3, kMistral, kPhi3, kGemma, kZephyr };

// "plain", "chatml", ...
const char* ChatFamilyName(ChatFamily family);

class ChatTemplate {
 public:
  explicit ChatTemplate(ChatFamily family) : family_(family) {}
  // Recognises the family by what tokenizer.chat_template contains; the template itself is not interpreted.
  // An empty one is kPlain; throws kUnsupported for one of no known family.
  static ChatTemplate Recognise(std::string_view source);
  // Of the file's tokenizer.chat_template.
  static ChatTemplate FromGguf(const GgufFile& file);

  // The chat without BOS (Encode adds it), ending, if asked, where the assistant's next message begins. Parts
  // with parse_special are the frame; what the messages say never becomes a control token. kPlain: the
  // contents one after the other, with a line break between two of them, and nothing else.
  std::vector<TextPart> Format(std::span<const ChatMessage> messages,
                               bool add_generation_prompt = true) const;

  ChatFamily Family() const { return family_; }

 private:
  ChatFamily family_;
};

// The parts as one text, for display and tests.
std::string JoinParts(std::span<const TextPart> parts);

}  // namespace throng::model
