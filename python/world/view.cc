#include "python/world/view.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// Integers in the order of the numbers: -0 is 0, as equal scores must be equal.
int64_t InOrder(double score) {
  const auto bits = std::bit_cast<int64_t>(score + 0.0);
  return bits >= 0 ? bits : std::numeric_limits<int64_t>::min() - bits;
}

int64_t ReadScore(py::handle score, const sim::PostId& post) {
  const double number = PyFloat_AsDouble(score.ptr());
  const bool failed = number == -1 && PyErr_Occurred() != nullptr;
  if (failed) PyErr_Clear();
  if (failed || std::isnan(number)) {
    ThrowWrongType(
        fmt::format("the score of post {} of agent {} in step {}", post.number, post.by, post.step), score,
        "a number");
  }
  return InOrder(number);
}

}  // namespace

const sim::View& PythonView::Get() const {
  if (view_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "a view is valid only in the step that it was made for");
  }
  return *view_;
}

py::list PythonView::Neighbours() const {
  py::list neighbours;
  for (const sim::Neighbour& neighbour : Get().Neighbours())
    neighbours.append(world_->MakeNeighbour(neighbour));
  return neighbours;
}

py::str PythonView::Cell(py::handle pos) const {
  return MakeText(Get().Cell(world_->ToPos(pos, "View.cell: pos")));
}

py::list PythonView::Announced(size_t known) const {
  py::list announced;
  for (const sim::Announcement& announcement : Get().Announced(known)) {
    announced.append(py::make_tuple(announcement.from, MakeText(announcement.text)));
  }
  return announced;
}

void PythonView::MustHavePosts(const char* what) const {
  if (world_->GetPostRules().latency > 0) return;
  throw MakeError(ErrorCode::kInvalid, "{}: there are no posts, as World.post_latency is 0", what);
}

void PythonView::MustHaveHorizon(const char* what) const {
  if (world_->Horizon() > 0) return;
  throw MakeError(ErrorCode::kInvalid, "{}: there are no likes and messages, as World.horizon is 0", what);
}

py::list PythonView::MakePosts(const std::vector<sim::Post>& posts) const {
  py::list made;
  for (const sim::Post& post : posts) made.append(world_->MakePost(post));
  return made;
}

py::list PythonView::Feed(py::handle most, py::handle score) const {
  MustHavePosts("View.feed");
  const auto count = CastTo<size_t>(most, "View.feed: most", "a whole number, 0 or more");
  std::function<int64_t(const sim::Post&)> score_of;
  if (!score.is_none()) {
    if (PyCallable_Check(score.ptr()) == 0)
      ThrowWrongType("View.feed: score", score, "a function of a throng.Post, or None");
    score_of = [&](const sim::Post& post) { return ReadScore(score(world_->MakePost(post)), post.id); };
  }
  return MakePosts(Get().Feed(count, score_of));
}

py::list PythonView::Posts(py::handle author) const {
  MustHavePosts("View.posts");
  return MakePosts(Get().Posts(ToAgentId(author)));
}

int64_t PythonView::Likes(py::handle post) const {
  MustHavePosts("View.likes");
  MustHaveHorizon("View.likes");
  return Get().Likes(ToPostId(post, "View.likes: post"));
}

py::list PythonView::Messages() const {
  MustHaveHorizon("View.messages");
  py::list messages;
  for (const sim::Message& message : Get().Messages()) messages.append(world_->MakeMessage(message));
  return messages;
}

py::object PythonView::Random() {
  if (!random_) random_ = world_->MakeRandom(Get().Self(), Get().Now(), false);
  return random_;
}

void AddView(py::module_& module) {
  py::class_<PythonView, std::shared_ptr<PythonView>>(
      module, "View",
      "What one agent may read in one step: the state at the start of the step, within its perception "
      "radius, and what those whom it follows have posted.\n"
      "\n"
      "    def proceed(self, view, agent):\n"
      "        for other in view.neighbours():\n"
      "            print(view.step, agent.name, 'sees', other.name, 'at', other.pos, other.status)\n"
      "        print(view.cell(agent.pos), view.random.random())")
      .def_property_readonly("step", &PythonView::Now, "The step that runs, from 0 on.")
      .def("neighbours", &PythonView::Neighbours,
           "The other agents within the perception radius, as throng.Neighbour, ordered by id.")
      .def("cell", &PythonView::Cell, py::arg("pos"),
           "The text that was written there, '' if nothing was; pos lies within the perception radius.")
      .def("announced", &PythonView::Announced, py::arg("known") = 0,
           "What all agents have been told up to this step, as (step, text), but the first `known` of it.")
      .def("feed", &PythonView::Feed, py::arg("most"), py::arg("score") = py::none(),
           "The `most` posts with the highest scores, best first, among those of all whom the agent follows, "
           "as "
           "throng.Post; of equal ones the newer first, then the one with the smaller author. `score` is a "
           "function "
           "of a throng.Post that returns a number, and depends on nothing but the post, the view and the "
           "agent; "
           "None: the newest come first. A feed by likes: view.feed(20, view.likes).")
      .def("posts", &PythonView::Posts, py::arg("author"),
           "What one whom the agent follows, or the agent itself, has posted, as throng.Post, oldest first.")
      .def("likes", &PythonView::Likes, py::arg("post"),
           "How many likes any post has, a throng.Post or its id: those of World.horizon steps ago and "
           "earlier. 0 "
           "once the post can no longer be read.")
      .def("messages", &PythonView::Messages,
           "What was sent to the agent World.horizon steps ago, as throng.Message, ordered by sender. It is "
           "there "
           "in this step only.")
      .def_property_readonly("random", &PythonView::Random,
                             "A random.Random of this agent and step: it draws the same numbers in every "
                             "mode. Use no other source "
                             "of chance in a world.");
}

}  // namespace throng::python
