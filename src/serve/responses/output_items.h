// The items of a response's output, and the events that tell of them: thoughts, text and calls of tools.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "serve/tools/chat_answer.h"

namespace throng::serve {

class OutputItems {
 public:
  // emit: takes an event of a stream, without its number.
  using Emit = std::function<void(const char* type, Json fields)>;

  explicit OutputItems(Emit emit) : emit_(std::move(emit)) {}

  // A piece of the answer. An item goes on as long as pieces are of its kind.
  void Add(const ChatPiece& piece, const ChatAnswer& answer);
  // The answer has ended; whole: not by its limit. An answer without anything is an empty text.
  void End(bool whole);

  Json ToJson() const;

 private:
  enum class Kind { kThought, kText, kCall };
  struct Item {
    Kind kind;
    std::string id;
    std::string text;  // or arguments
    ToolCall call{};   // without arguments
    const char* status = "in_progress";
  };

  static Json ItemOf(const Item& item);
  static Json PartOf(const Item& item);
  Json Place() const;  // of the last item
  void Begin(Item item);
  void Close(const char* status);

  Emit emit_;
  std::vector<Item> items_;
  bool is_open_ = false;  // the last one
};

// Not to be guessed, as whoever knows it can read the response.
std::string NewItemId(const char* kind);

}  // namespace throng::serve
