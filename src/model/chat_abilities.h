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
  bool several_systems = true;   // else those at the beginning of a chat become one
  bool later_systems = true;     // else those after its beginning go in front of the user's next message
  bool text_contents = true;     // else a string becomes a list of one part
  bool part_contents = true;     // else parts of text become one string
  bool object_arguments = true;  // else the arguments of calls become JSON text
  // What an empty content beside calls of tools becomes: it stays as it is, or becomes null or an empty
  // string.
  enum EmptyContent { kAsGiven, kNull, kEmptyText } empty_content = kAsGiven;
};

// render: what the template makes of messages and tools; throws Error if it refuses them.
ChatAbilities FindAbilities(const std::function<std::string(const nlohmann::ordered_json& messages,
                                                            const nlohmann::ordered_json& tools)>& render);

// The messages as the template takes them. Those that are no objects stay as they are.
nlohmann::ordered_json FitMessages(const nlohmann::ordered_json& messages, const ChatAbilities& abilities);

}  // namespace throng::model
