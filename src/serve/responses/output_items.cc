#include "serve/responses/output_items.h"

#include <fmt/format.h>

#include <utility>

namespace throng::serve {

using PieceKind = llm::AnswerEvent::Kind;

std::string NewItemId(const char* kind) { return RandomId(fmt::format("{}_", kind), 32); }

Json OutputItems::PartOf(const Item& item) {
  if (item.kind == Kind::kThought) return {{"type", "reasoning_text"}, {"text", item.text}};
  return {{"type", "output_text"},
          {"annotations", Json::array()},
          {"logprobs", Json::array()},
          {"text", item.text}};
}

Json OutputItems::ItemOf(const Item& item) {
  const bool has_begun = !item.text.empty() || item.status != std::string_view("in_progress");
  const Json content = has_begun ? Json::array({PartOf(item)}) : Json::array();
  switch (item.kind) {
    case Kind::kThought:
      return {{"id", item.id},
              {"type", "reasoning"},
              {"status", item.status},
              {"summary", Json::array()},
              {"content", content}};
    case Kind::kText:
      return {{"id", item.id},
              {"type", "message"},
              {"status", item.status},
              {"role", "assistant"},
              {"content", content}};
    case Kind::kCall:
      return {{"id", item.id},           {"type", "function_call"}, {"status", item.status},
              {"call_id", item.call.id}, {"name", item.call.name},  {"arguments", item.text}};
  }
  return {};
}

Json OutputItems::Place() const {
  Json place = {{"item_id", items_.back().id}, {"output_index", items_.size() - 1}};
  if (items_.back().kind != Kind::kCall) place["content_index"] = 0;
  return place;
}

void OutputItems::Begin(Item item) {
  if (is_open_) Close("completed");
  items_.push_back(std::move(item));
  is_open_ = true;
  emit_("response.output_item.added", {{"output_index", items_.size() - 1}, {"item", ItemOf(items_.back())}});
  if (items_.back().kind == Kind::kCall) return;
  Json event = Place();
  event["part"] = PartOf(items_.back());
  emit_("response.content_part.added", std::move(event));
}

void OutputItems::Add(const ChatPiece& piece, const ChatAnswer& answer) {
  if (piece.kind == PieceKind::kCall) {
    const ToolCall& call = answer.Calls()[piece.call];
    Begin({.kind = Kind::kCall, .id = NewItemId("fc"), .text = "", .call = {call.id, call.name, ""}});
    return;
  }
  const Kind kind = piece.kind == PieceKind::kThought ? Kind::kThought
                    : piece.kind == PieceKind::kText  ? Kind::kText
                                                      : Kind::kCall;
  if (!is_open_ || items_.back().kind != kind)
    Begin({.kind = kind, .id = NewItemId(kind == Kind::kThought ? "rs" : "msg"), .text = ""});
  items_.back().text += piece.text;
  Json event = Place();
  event["delta"] = piece.text;
  if (kind == Kind::kText) event["logprobs"] = Json::array();
  emit_(kind == Kind::kThought ? "response.reasoning_text.delta"
        : kind == Kind::kText  ? "response.output_text.delta"
                               : "response.function_call_arguments.delta",
        std::move(event));
}

void OutputItems::Close(const char* status) {
  Item& item = items_.back();
  item.status = status;
  is_open_ = false;
  Json event = Place();
  if (item.kind == Kind::kCall) {
    event["name"] = item.call.name;
    event["arguments"] = item.text;
    emit_("response.function_call_arguments.done", std::move(event));
  } else {
    event["text"] = item.text;
    if (item.kind == Kind::kText) event["logprobs"] = Json::array();
    emit_(item.kind == Kind::kText ? "response.output_text.done" : "response.reasoning_text.done",
          std::move(event));
    Json part = Place();
    part["part"] = PartOf(item);
    emit_("response.content_part.done", std::move(part));
  }
  emit_("response.output_item.done", {{"output_index", items_.size() - 1}, {"item", ItemOf(item)}});
}

void OutputItems::End(bool whole) {
  if (items_.empty()) Begin({.kind = Kind::kText, .id = NewItemId("msg"), .text = ""});
  if (is_open_) Close(whole ? "completed" : "incomplete");
}

Json OutputItems::ToJson() const {
  Json items = Json::array();
  for (const Item& item : items_) items.push_back(ItemOf(item));
  return items;
}

}  // namespace throng::serve
