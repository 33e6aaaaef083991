// Responses that later requests may go on from, in bounded memory: those used longest ago are forgotten.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "serve/fields/json_fields.h"

namespace throng::serve {

struct StoredResponse {
  std::string id;
  std::string body;  // as it was sent
  Json chat;         // the messages, without instructions, and the answer
  Json output;       // the items of the answer, which have ids of their own
};

// Any thread may call any method.
class ResponseStore {
 public:
  explicit ResponseStore(size_t most_bytes = kMostBytes) : most_bytes_(most_bytes) {}

  void Put(StoredResponse response);
  std::optional<StoredResponse> Find(const std::string& id);
  Json FindItem(const std::string& id);  // of any response's output; null: there is none
  bool Remove(const std::string& id);    // whether it was there

 private:
  static constexpr size_t kMostBytes = size_t{64} << 20;
  using Entries = std::list<StoredResponse>;

  static size_t BytesOf(const StoredResponse& response);
  static size_t BytesOf(const Json& json);
  void Erase(Entries::iterator entry);     // with the mutex held
  void MarkUsed(Entries::iterator entry);  // likewise

  const size_t most_bytes_;
  std::mutex mutex_;
  Entries entries_;                                           // guarded by mutex_; the most recent first
  std::unordered_map<std::string, Entries::iterator> by_id_;  // guarded by mutex_
  // By the ids of items.
  std::unordered_map<std::string, std::pair<Entries::iterator, size_t>> items_;  // guarded by mutex_
  size_t bytes_ = 0;                                                             // guarded by mutex_
};

}  // namespace throng::serve
