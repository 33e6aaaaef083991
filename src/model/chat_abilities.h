// What a chat template can take, found out by rendering small chats, and chats made to fit it. Templates
// differ in what they do with system messages, contents in parts, null contents and the arguments of calls; a
// chat should not lose a text, or show Python's "None", because its client writes it in another way than the
// template reads it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace throng::model {

struct ChatAbilities {
  bool system_messages = true;   // else their text goes in front of the user's next message
  bool text_contents = true;     // else a string becomes a list of one part
  bool part_contents = true;     // else parts of text become one string
  bool null_contents = true;     // else null becomes an empty string
  bool object_arguments = true;  // else the arguments of calls become JSON text
};

// render: what the template makes of messages; throws Error if it refuses them.
ChatAbilities FindAbilities(const std::function<std::string(const nlohmann::ordered_json& messages)>& render);

// The messages as the template takes them. Those that are no objects stay as they are.
nlohmann::ordered_json FitMessages(const nlohmann::ordered_json& messages, const ChatAbilities& abilities);

}  // namespace throng::model
