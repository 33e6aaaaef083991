#include "serve/run/positions.h"

#include <string_view>
#include <unordered_map>

#include "serve/endpoints.h"
#include "serve/run/run_request.h"

namespace throng::serve {
namespace {

void AddNumber(std::string& bytes, uint64_t number) {
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
  bytes += static_cast<char>(number);
}

// Of coordinates, which may be anything in a journal that somebody made by hand.
void AddDifference(std::string& bytes, int64_t now, int64_t before) {
  const uint64_t difference = static_cast<uint64_t>(now) - static_cast<uint64_t>(before);
  const uint64_t sign = difference >> 63 != 0 ? ~uint64_t{0} : 0;
  AddNumber(bytes, (difference << 1) ^ sign);
}

// Numbers texts in the order in which they come.
class TextTable {
 public:
  uint64_t NumberOf(std::string_view text) {
    const auto [found, is_new] = numbers_.try_emplace(text, numbers_.size());
    if (is_new) {
      AddNumber(bytes_, text.size());
      bytes_ += text;
    }
    return found->second;
  }
  void AddTo(std::string& bytes) const {
    AddNumber(bytes, numbers_.size());
    bytes += bytes_;
  }

 private:
  std::unordered_map<std::string_view, uint64_t> numbers_;  // views of the rows
  std::string bytes_;
};

struct Place {
  int64_t x = 0;
  int64_t y = 0;
};

}  // namespace

std::string PackPositions(int64_t from, int64_t to, const std::vector<journal::BodyRow>& bodies) {
  TextTable statuses;
  std::unordered_map<int64_t, Place> last;
  std::string changes;
  int64_t step = from;
  for (size_t i = 0, end = 0; i < bodies.size(); i = end) {
    while (end < bodies.size() && bodies[end].step == bodies[i].step) ++end;
    AddNumber(changes, static_cast<uint64_t>(bodies[i].step - step));
    AddNumber(changes, end - i);
    step = bodies[i].step;
    int64_t before = -1;
    for (size_t j = i; j < end; ++j) {
      const journal::BodyRow& body = bodies[j];
      Place& place = last[body.agent];
      AddNumber(changes, static_cast<uint64_t>(body.agent - before - 1));
      AddDifference(changes, body.x, place.x);
      AddDifference(changes, body.y, place.y);
      AddNumber(changes, statuses.NumberOf(body.status));
      place = {body.x, body.y};
      before = body.agent;
    }
  }
  std::string packed;
  AddNumber(packed, static_cast<uint64_t>(from));
  AddNumber(packed, static_cast<uint64_t>(to));
  statuses.AddTo(packed);
  return packed + changes;
}

HttpReply RunPositions(Context& context, const HttpRequest& request) {
  const StepRange range = RangeOf(request);
  const auto journal = OpenRun(context, request);
  HttpReply reply;
  reply.type = "application/octet-stream";
  reply.body = PackPositions(range.from, range.to, journal::Reader(*journal).Bodies(range.from, range.to));
  return reply;
}

}  // namespace throng::serve
