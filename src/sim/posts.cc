#include "sim/posts.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"

namespace throng::sim {

// PostBoard

PostBoard::PostBoard(AgentId agents, const PostRules& rules)
    : rules_(rules), by_author_(rules.latency > 0 ? agents : 0) {
  if (rules.latency < 0 || rules.kept < 1 || rules.latency > kMostDelay || rules.kept > kMostDelay) {
    throw MakeError(ErrorCode::kInvalid,
                    "world: posts of latency {}, kept for {} steps; allowed are 0 to {}, and 1 to {}",
                    rules.latency, rules.kept, kMostDelay, kMostDelay);
  }
}

size_t PostBoard::PostHash::operator()(const PostId& id) const {
  return Mix64((uint64_t{id.by} << 32 | id.number) + static_cast<uint64_t>(id.step) * 0x9e3779b97f4a7c15);
}

void PostBoard::Add(Post post) {
  const PostId id = post.id;
  THRONG_DCHECK(by_author_[id.by].empty() || by_author_[id.by].back().id < id);
  std::vector<AgentId>& authors = authors_[id.step];
  if (authors.empty() || authors.back() != id.by) authors.push_back(id.by);
  by_author_[id.by].push_back(std::move(post));
  ++num_posts_;
}

void PostBoard::Settle(Likes& likes) const {
  std::erase_if(likes.pending, [&](const auto& pending) {
    if (pending.first > base_step_) return false;
    likes.settled += pending.second;
    return true;
  });
}

void PostBoard::Like(const PostId& post, Step from, int64_t amount) {
  if (rules_.IsOverIn(from, post.step)) return;  // it never shows
  Likes& likes = likes_[post.step][post];
  Settle(likes);
  const auto same = std::find_if(likes.pending.begin(), likes.pending.end(),
                                 [&](const auto& pending) { return pending.first == from; });
  if (same != likes.pending.end()) {
    same->second += amount;
  } else {
    likes.pending.emplace_back(from, amount);
  }
}

int64_t PostBoard::LikesAt(const PostId& post, Step step) const {
  if (rules_.IsOverIn(step, post.step)) return 0;
  const auto made = likes_.find(post.step);
  if (made == likes_.end()) return 0;
  const auto found = made->second.find(post);
  if (found == made->second.end()) return 0;
  int64_t sum = found->second.settled;
  for (const auto& [from, amount] : found->second.pending) sum += from <= step ? amount : 0;
  return sum;
}

void PostBoard::Send(AgentId to, Step from, Message message) {
  std::vector<Message>& inbox = messages_[from][to];
  const auto after = std::upper_bound(inbox.begin(), inbox.end(), message.from,
                                      [](AgentId id, const Message& other) { return id < other.from; });
  inbox.insert(after, std::move(message));
}

std::vector<Message> PostBoard::MessagesAt(AgentId to, Step step) const {
  const auto at = messages_.find(step);
  if (at == messages_.end()) return {};
  const auto inbox = at->second.find(to);
  return inbox == at->second.end() ? std::vector<Message>() : inbox->second;
}

void PostBoard::Prune(Step base_step) {
  base_step_ = base_step;
  while (!messages_.empty() && messages_.begin()->first < base_step) messages_.erase(messages_.begin());
  while (!likes_.empty() && rules_.IsOverIn(base_step, likes_.begin()->first)) likes_.erase(likes_.begin());
  while (!authors_.empty() && rules_.IsOverIn(base_step, authors_.begin()->first)) {
    for (const AgentId author : authors_.begin()->second) {
      std::vector<Post>& posts = by_author_[author];
      const auto is_over = [&](const Post& post) { return rules_.IsOverIn(base_step, post.id.step); };
      const auto kept = std::find_if_not(posts.begin(), posts.end(), is_over);
      num_posts_ -= static_cast<size_t>(kept - posts.begin());
      posts.erase(posts.begin(), kept);
      if (posts.empty()) posts = std::vector<Post>();  // most people write seldom: gives the memory back
    }
    authors_.erase(authors_.begin());
  }
}

BoardContents PostBoard::ContentsAt(Step step, Step horizon) const {
  THRONG_CHECK(step >= base_step_);
  BoardContents contents;
  for (const std::vector<Post>& posts : by_author_) {
    std::copy_if(posts.begin(), posts.end(), std::back_inserter(contents.posts), [&](const Post& post) {
      return post.id.step < step && !rules_.IsOverIn(step, post.id.step);
    });
  }
  const Step end = step + horizon;  // from here on is what the steps from `step` on have added
  for (const auto& [made, posts] : likes_) {
    if (rules_.IsOverIn(step, made)) continue;
    for (const auto& [id, likes] : posts) {
      std::map<Step, int64_t> amounts = {{step, likes.settled}};
      for (const auto& [from, amount] : likes.pending) {
        if (from < end) amounts[std::max(from, step)] += amount;
      }
      for (const auto& [from, amount] : amounts) {
        if (amount != 0) contents.likes.push_back({id, from, amount});
      }
    }
  }
  std::sort(contents.likes.begin(), contents.likes.end(),
            [](const auto& a, const auto& b) { return std::tie(a.post, a.from) < std::tie(b.post, b.from); });
  for (auto at = messages_.lower_bound(step); at != messages_.end() && at->first < end; ++at) {
    const std::map<AgentId, std::vector<Message>> inboxes(at->second.begin(), at->second.end());
    for (const auto& [to, inbox] : inboxes) {
      for (const Message& message : inbox) contents.sent.push_back({at->first, to, message});
    }
  }
  return contents;
}

void PostBoard::Restore(BoardContents contents) {
  for (Post& post : contents.posts) Add(std::move(post));
  for (const auto& likes : contents.likes) Like(likes.post, likes.from, likes.amount);
  for (auto& sent : contents.sent) Send(sent.to, sent.from, std::move(sent.message));
}

size_t PostBoard::Bytes() const {
  size_t bytes = by_author_.capacity() * sizeof(std::vector<Post>);
  for (const std::vector<Post>& posts : by_author_) {
    bytes += posts.capacity() * sizeof(Post);
    for (const Post& post : posts) {
      if (post.text.capacity() > std::string().capacity()) bytes += post.text.capacity() + 1;
    }
  }
  for (const auto& [step, authors] : authors_) bytes += authors.capacity() * sizeof(AgentId);
  constexpr size_t kNode = 2 * sizeof(void*);  // of a hash table: its link and its share of the buckets
  for (const auto& [step, posts] : likes_) {
    for (const auto& [id, likes] : posts) {
      bytes += kNode + sizeof(id) + sizeof(likes) + likes.pending.capacity() * sizeof(likes.pending[0]);
    }
  }
  for (const auto& [step, inboxes] : messages_) {
    for (const auto& [to, inbox] : inboxes) {
      bytes += kNode + sizeof(to) + sizeof(inbox) + inbox.capacity() * sizeof(Message);
      for (const Message& message : inbox) bytes += message.text.capacity();
    }
  }
  return bytes;
}

// FeedRanking

bool FeedRanking::IsBetter(int64_t score, const PostId& id, const Entry& other) {
  const auto order = [](int64_t points, const PostId& post) {
    return std::tuple(points, post.step, ~post.by, post.number);
  };
  return order(score, id) > order(other.score, other.post.id);
}

void FeedRanking::Add(const Post& post, int64_t score) {
  const auto is_better = [](const Entry& a, const Entry& b) { return IsBetter(a, b); };
  if (best_.size() == most_) {
    if (most_ == 0 || !IsBetter(score, post.id, best_.front())) return;
    std::pop_heap(best_.begin(), best_.end(), is_better);
    best_.pop_back();
  }
  best_.push_back({score, post});
  std::push_heap(best_.begin(), best_.end(), is_better);
}

std::vector<Post> FeedRanking::Take() {
  std::sort_heap(best_.begin(), best_.end(), [](const Entry& a, const Entry& b) { return IsBetter(a, b); });
  std::vector<Post> posts;
  posts.reserve(best_.size());
  for (Entry& entry : best_) posts.push_back(std::move(entry.post));
  best_.clear();
  return posts;
}

}  // namespace throng::sim
