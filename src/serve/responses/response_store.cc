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
  return sizeof(StoredResponse) + response.id.size() + response.body.size() + BytesOf(response.chat);
}

void ResponseStore::Erase(Entries::iterator entry) {
  bytes_ -= BytesOf(*entry);
  by_id_.erase(entry->id);
  entries_.erase(entry);
}

void ResponseStore::Put(StoredResponse response) {
  const size_t bytes = BytesOf(response);
  if (bytes > most_bytes_) return;
  const std::lock_guard lock(mutex_);
  while (bytes_ + bytes > most_bytes_) Erase(std::prev(entries_.end()));
  entries_.push_front(std::move(response));
  by_id_[entries_.front().id] = entries_.begin();
  bytes_ += bytes;
}

std::optional<StoredResponse> ResponseStore::Find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return entries_.front();
}

bool ResponseStore::Remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  Erase(found->second);
  return true;
}

}  // namespace throng::serve
