// What an agent of a Python world keeps to itself: plain data, how long it sleeps, and whom it follows.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "sim/world.h"

namespace throng::python {

// An agent does nothing in the steps before `until`; an alert one, until it sees somebody or gets a message.
struct Sleep {
  sim::Step until = 0;
  bool alert = false;
};

// The ids of those whose posts an agent reads. Shared by the versions of its mind in which they do not
// change.
class Following {
 public:
  // Null for no ids. They may come in any order, and repeated.
  static std::shared_ptr<const Following> Make(std::vector<sim::AgentId> ids);

  const std::vector<sim::AgentId>& Ids() const { return ids_; }  // ascending, each once
  const pybind11::tuple& Tuple() const { return tuple_; }        // the same
  const Digest& GetDigest() const { return digest_; }

 private:
  explicit Following(std::vector<sim::AgentId> ids);

  std::vector<sim::AgentId> ids_;
  pybind11::tuple tuple_;
  Digest digest_;
};
using FollowingPtr = std::shared_ptr<const Following>;  // null: nobody is followed

class PlainMind final : public sim::Mind {
 public:
  // Awake, with a frozen value. `what` is for messages.
  PlainMind(pybind11::handle value, const std::string& what, FollowingPtr follows = nullptr);
  PlainMind(const PlainMind& mind, Sleep sleep) : PlainMind(mind) { sleep_ = sleep; }
  PlainMind(const PlainMind& mind, FollowingPtr follows) : PlainMind(mind) { follows_ = std::move(follows); }
  void Hash(Hasher& hasher) const override;
  std::string Text() const override;
  void Write(ByteWriter& out) const override;
  static sim::MindPtr Read(ByteReader& in, const std::string& what);
  const pybind11::object& Value() const { return value_; }
  const Sleep& GetSleep() const { return sleep_; }
  const FollowingPtr& GetFollowing() const { return follows_; }
  std::span<const sim::AgentId> Follows() const;
  bool DoesFollow(sim::AgentId whom) const;
  // Whom it follows with this one, or without: GetFollowing if that changes nothing.
  FollowingPtr FollowingWith(sim::AgentId whom) const;
  FollowingPtr FollowingWithout(sim::AgentId whom) const;

 private:
  pybind11::object value_;
  Digest digest_;  // of value_
  Sleep sleep_;
  FollowingPtr follows_;
};

inline const PlainMind& AsPlain(const sim::MindPtr& mind) { return static_cast<const PlainMind&>(*mind); }

}  // namespace throng::python
