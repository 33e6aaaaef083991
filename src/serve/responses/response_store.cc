#include "serve/responses/response_store.h"

#include <utility>

namespace throng::serve {

size_t ResponseStore::BytesOf(const Json& json) {
  size_t bytes = sizeof(Json);
  if (json.is_string()) bytes += json.get_ref<const std::string&>().size();
  if (!json.is_structured()) return bytes;
  for (const auto& [name, value] : json.items()) bytes += sizeof(name) + name.size() + BytesOf(value);
  return bytes;
}

size_t ResponseStore::BytesOf(const StoredResponse& response) {
  return sizeof(StoredResponse) + response.id.size() + response.body.size() + BytesOf(response.chat) +
         BytesOf(response.output);
}

void ResponseStore::Erase(Entries::iterator entry) {
  bytes_ -= BytesOf(*entry);
  by_id_.erase(entry->id);
  for (const Json& item : entry->output) items_.erase(item["id"].get_ref<const std::string&>());
  entries_.erase(entry);
}

void ResponseStore::MarkUsed(Entries::iterator entry) { entries_.splice(entries_.begin(), entries_, entry); }

void ResponseStore::Put(StoredResponse response) {
  const size_t bytes = BytesOf(response);
  if (bytes > most_bytes_) return;
  const std::lock_guard lock(mutex_);
  while (bytes_ + bytes > most_bytes_) Erase(std::prev(entries_.end()));
  entries_.push_front(std::move(response));
  const Entries::iterator entry = entries_.begin();
  by_id_[entry->id] = entry;
  for (size_t i = 0; i < entry->output.size(); ++i) items_[entry->output[i]["id"]] = {entry, i};
  bytes_ += bytes;
}

std::optional<StoredResponse> ResponseStore::Find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  MarkUsed(found->second);
  return *found->second;
}

Json ResponseStore::FindItem(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = items_.find(id);
  if (found == items_.end()) return {};
  const auto [entry, index] = found->second;
  MarkUsed(entry);
  return entry->output[index];
}

bool ResponseStore::Remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  Erase(found->second);
  return true;
}

}  // namespace throng::serve
