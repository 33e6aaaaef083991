#include "python/world/plain_mind.h"

#include <algorithm>
#include <utility>

#include "python/convert/convert.h"
#include "python/convert/plain_value.h"

namespace py = pybind11;

namespace throng::python {

// Following

FollowingPtr Following::Make(std::vector<sim::AgentId> ids) {
  if (ids.empty()) return nullptr;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return FollowingPtr(new Following(std::move(ids)));
}

Following::Following(std::vector<sim::AgentId> ids) : ids_(std::move(ids)), tuple_(ids_.size()) {
  Hasher hasher;
  for (size_t i = 0; i < ids_.size(); ++i) {
    tuple_[i] = py::int_(ids_[i]);
    hasher.Add(ids_[i]);
  }
  digest_ = hasher.Finish();
}

// PlainMind

PlainMind::PlainMind(py::handle value, const std::string& what, FollowingPtr follows)
    : value_(Freeze(value, what)), follows_(std::move(follows)) {
  Hasher hasher;
  HashPlain(value_, hasher);
  digest_ = hasher.Finish();
}

void PlainMind::Hash(Hasher& hasher) const {
  hasher.Add(digest_);
  if (sleep_.until > 0) hasher.Add("asleep").Add(sleep_.until).Add(sleep_.alert);
  if (follows_ != nullptr) hasher.Add("follows").Add(follows_->GetDigest());
}

std::string PlainMind::Text() const {
  std::string text = ToUtf8(py::repr(value_));
  if (sleep_.until > 0) text += fmt::format(", asleep until {}", sleep_.until);
  if (follows_ != nullptr) text += fmt::format(", follows {}", fmt::join(follows_->Ids(), " "));
  return text;
}

void PlainMind::Write(ByteWriter& out) const {
  out.Add(std::string_view(WritePlain(value_))).Add(sleep_.until).Add(sleep_.alert);
  out.Add(uint64_t{Follows().size()});
  for (const sim::AgentId id : Follows()) out.Add(id);
}

sim::MindPtr PlainMind::Read(ByteReader& in, const std::string& what) {
  const PlainMind awake(ReadPlain(in.GetText()), what);
  Sleep sleep;
  sleep.until = in.Get<sim::Step>();
  sleep.alert = in.GetBool();
  std::vector<sim::AgentId> ids(in.GetCount(sizeof(sim::AgentId)));
  for (sim::AgentId& id : ids) id = in.Get<sim::AgentId>();
  return std::make_shared<PlainMind>(PlainMind(awake, sleep), Following::Make(std::move(ids)));
}

std::span<const sim::AgentId> PlainMind::Follows() const {
  return follows_ == nullptr ? std::span<const sim::AgentId>() : follows_->Ids();
}

bool PlainMind::DoesFollow(sim::AgentId whom) const {
  const std::span<const sim::AgentId> ids = Follows();
  return std::binary_search(ids.begin(), ids.end(), whom);
}

FollowingPtr PlainMind::FollowingWith(sim::AgentId whom) const {
  if (DoesFollow(whom)) return follows_;
  const std::span<const sim::AgentId> known = Follows();
  std::vector<sim::AgentId> ids(known.begin(), known.end());
  ids.push_back(whom);
  return Following::Make(std::move(ids));
}

FollowingPtr PlainMind::FollowingWithout(sim::AgentId whom) const {
  if (!DoesFollow(whom)) return follows_;
  std::vector<sim::AgentId> ids = follows_->Ids();
  std::erase(ids, whom);
  return Following::Make(std::move(ids));
}

}  // namespace throng::python
