#include "serve/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <random>

#include "serve/http/error_reply.h"
#include "serve/http/reply_head.h"

namespace throng::serve {
namespace {

namespace asio = boost::asio;
using ErrorOfSystem = boost::system::error_code;

// Most requests that wait for a worker; the engine takes far longer than they do.
constexpr int kMaxJobs = 256;
constexpr int kClientGone = 499;
constexpr std::string_view kEmptyEvent = ":\n\n";  // a comment, which clients of event streams ignore

std::string NewId() {
  static std::mt19937_64 generator{std::random_device()()};
  return fmt::format("req-{:016x}", generator());
}

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

Connection::Connection(Site& site, asio::ip::tcp::socket socket, std::string address)
    : site_(site), socket_(std::move(socket)), address_(std::move(address)), reader_(site.limits) {}

void Connection::Start() {
  ErrorOfSystem ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  waiting_since_ = Clock::now();
  SetTime(site_.limits.header_seconds);
  WaitToRead();
}

std::optional<Connection::Clock::time_point> Connection::WaitingSince() const {
  if (phase_ != Phase::kReading) return std::nullopt;
  return waiting_since_;
}

void Connection::SetTime(double seconds) {
  deadline_ =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

void Connection::WaitToRead() {
  const bool has_room = phase_ == Phase::kLingering || reader_.Room() > 0;
  if (reading_ || ended_ || !has_room || phase_ == Phase::kClosed) return;
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](ErrorOfSystem error) {
    self->reading_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (error) {
      self->Close();
    } else {
      self->Read();
    }
  });
}

void Connection::Read() {
  const size_t room =
      phase_ == Phase::kLingering ? site_.scratch.size() : std::min(site_.scratch.size(), reader_.Room());
  ErrorOfSystem error;
  const size_t size = room == 0 ? 0 : socket_.read_some(asio::buffer(site_.scratch.data(), room), error);
  if (error == asio::error::eof) return OnEnd();
  if (error && error != asio::error::would_block) return Close();
  if (size > 0 && phase_ != Phase::kLingering) {
    reader_.Append({site_.scratch.data(), size});
    if (phase_ == Phase::kReading) Advance();
  }
  WaitToRead();
}

// A client that closes has no use for an answer that is still being made. One that is being sent may be for a
// client that only said that it has no more to ask.
void Connection::OnEnd() {
  ended_ = true;
  if (phase_ != Phase::kWorking && phase_ != Phase::kSending) Close();
}

void Connection::Advance() {
  while (phase_ == Phase::kReading) {
    const RequestReader::State state = reader_.Advance();
    if (!begun_ && !reader_.IsIdle()) {
      begun_ = true;
      site_.requests.Add(1);
      record_ = {};
      record_.begin = Clock::now();
      SetTime(site_.limits.header_seconds);
    }
    switch (state) {
      case RequestReader::State::kHead:
        return;
      case RequestReader::State::kDecide:
        Decide();
        break;
      case RequestReader::State::kBody:
        if (Hold(reader_.BodyBytes())) return;
        Refuse(ErrorReply(503, "server: it holds as much of requests as it may; try again"));
        break;
      case RequestReader::State::kComplete:
        Dispatch();
        break;
      case RequestReader::State::kWrong:
        Refuse(reader_.Problem());
        break;
    }
  }
}

void Connection::BeginRecord() {
  const RequestHead& head = reader_.Head();
  const std::string_view id = head.Header("x-request-id");
  record_.id = IsId(id) ? id : NewId();
  if (const std::string_view trace = head.Header("traceparent"); IsId(trace)) record_.traceparent = trace;
  record_.address = address_;
  record_.method = head.request.method;
  record_.path = head.request.path;
}

void Connection::Decide() {
  BeginRecord();
  RequestHead& head = reader_.Head();
  Router::Decision decision = site_.router.Decide(head);
  close_ = !head.keep_alive;
  if (decision.reply) {
    if (head.has_body || decision.reply->status == 401) return Refuse(*std::move(decision.reply));
    reader_.Accept();
    reader_.Take();
    return Answer(*std::move(decision.reply));
  }
  route_ = decision.route;
  accepted_ = true;
  if (head.expects_continue) {
    // Nothing else has been written: there is room for this line.
    ErrorOfSystem error;
    if (socket_.write_some(asio::buffer(kContinue), error) != kContinue.size()) return Close();
  }
  reader_.Accept();
  SetTime(site_.limits.body_seconds);
}

void Connection::Dispatch() {
  phase_ = Phase::kWorking;
  deadline_ = Clock::time_point::max();
  HttpRequest request = reader_.Take();
  if (site_.log != nullptr && site_.log->WantsPrompts()) record_.body = request.body;
  if (route_->quick) return Answer(Router::Call(*route_, request));
  if (site_.jobs >= kMaxJobs) return Answer(ErrorReply(503, "server: too many requests wait; try again"));
  ++site_.jobs;
  asio::post(site_.workers, [self = shared_from_this(), request = std::move(request)]() mutable {
    self->Work(std::move(request));
  });
}

// On a worker.
void Connection::Work(HttpRequest request) {
  HttpReply reply;
  try {
    if (!gone_) reply = Router::Call(*route_, request);
  } catch (const TakesLong&) {
    request.may_take_long = true;
    asio::post(site_.slow_worker, [self = shared_from_this(), request = std::move(request)]() mutable {
      self->Work(std::move(request));
    });
    return;
  }
  asio::post(site_.io, [self = shared_from_this(), reply = std::move(reply)]() mutable {
    --self->site_.jobs;
    self->Answer(std::move(reply));
  });
}

// Answers what will not be read to its end, and closes.
void Connection::Refuse(HttpReply reply) {
  if (record_.id.empty()) {
    record_.id = NewId();
    record_.address = address_;
  }
  close_ = true;
  accepted_ = false;
  Answer(std::move(reply));
}

void Connection::Answer(HttpReply reply) {
  if (phase_ == Phase::kClosed) return;
  reply_ = std::move(reply);
  source_ = std::move(reply_.source);
  head_sent_ = false;
  if (source_ && ended_) return Close();
  if (!source_ || record_.method == "HEAD") return SendWhole();
  phase_ = Phase::kWaiting;
  SetTime(site_.limits.quiet_seconds);
  Hold(0);
  // Many changes before the thread gets to them are one.
  const auto pending = std::make_shared<std::atomic<bool>>(false);
  source_->OnChange([pending, self = weak_from_this(), &io = site_.io] {
    if (pending->exchange(true)) return;
    asio::post(io, [pending, self] {
      *pending = false;
      if (const auto connection = self.lock()) connection->Pump();
    });
  });
  Pump();
}

void Connection::Pump() {
  if (phase_ != Phase::kWaiting || writing_) return;
  const ReplySource::State state = source_->Take(reply_);
  if (state == ReplySource::State::kBroken) return Close();
  const bool is_end = state == ReplySource::State::kEnd;
  if (!reply_.stream) {
    if (is_end) SendWhole();
    return;
  }
  if (reply_.body.empty() && !is_end) return;
  SendPiece(std::exchange(reply_.body, {}), is_end);
}

void Connection::SendPiece(std::string body, bool is_end) {
  const bool chunked = reader_.Head().http11;
  std::string head;
  if (!head_sent_) {
    site_.router.Finish(reader_.Head(), reply_);
    close_ = close_ || !chunked || site_.draining;
    head = ReplyHeadBytes(reply_, {.keep_alive = !close_,
                                   .chunked = chunked,
                                   .request_id = record_.id,
                                   .traceparent = record_.traceparent});
    head_sent_ = true;
  }
  if (chunked && !body.empty()) body = ChunkBytes(body);
  if (is_end) {
    source_.reset();  // who has read the end may ask again at once, and finds the place free
    if (chunked) body += kLastChunk;
    phase_ = Phase::kSending;
  }
  Write(std::move(head), std::move(body));
}

void Connection::SendWhole() {
  phase_ = Phase::kSending;
  source_.reset();
  if (!Hold(reply_.body.size())) {
    reply_ = ErrorReply(503, "server: it holds as much of replies as it may; try again");
  }
  // Of what is no HTTP nothing is known of the page that asks.
  if (!record_.method.empty()) site_.router.Finish(reader_.Head(), reply_);
  close_ = close_ || site_.draining;
  ReplyFrame frame{.keep_alive = !close_, .request_id = record_.id, .traceparent = record_.traceparent};
  if (reply_.status != 204 && reply_.status != 304) frame.content_length = reply_.body.size();
  std::string head = ReplyHeadBytes(reply_, frame);
  if (record_.method == "HEAD") reply_.body.clear();
  Write(std::move(head), std::move(reply_.body));
}

void Connection::Write(std::string head, std::string body) {
  out_head_ = std::move(head);
  out_body_ = std::move(body);
  writing_ = true;
  const auto size = static_cast<double>(out_head_.size() + out_body_.size());
  SetTime(site_.limits.write_seconds + size / site_.limits.slowest_bytes_per_second);
  const std::array buffers = {asio::const_buffer(asio::buffer(out_head_)),
                              asio::const_buffer(asio::buffer(out_body_))};
  asio::async_write(socket_, buffers, [self = shared_from_this()](ErrorOfSystem error, size_t size) {
    self->writing_ = false;
    self->record_.bytes += size;
    if (self->phase_ == Phase::kClosed) return;
    if (error) {
      self->Close();
    } else {
      self->OnWritten();
    }
  });
}

void Connection::OnWritten() {
  if (phase_ == Phase::kSending) return FinishReply();
  SetTime(site_.limits.quiet_seconds);
  Pump();
}

void Connection::FinishReply() {
  WriteLog(reply_.status);
  phase_ = Phase::kReading;  // nothing is in work any more
  const bool unread = !accepted_ && close_;
  out_body_ = {};
  reader_.Forget();
  Hold(0);
  begun_ = false;
  accepted_ = false;
  route_ = nullptr;
  if (unread && !ended_) {
    // Closing now would reset the connection, and the client might lose the reply.
    ErrorOfSystem ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    phase_ = Phase::kLingering;
    SetTime(site_.limits.linger_seconds);
  } else if (close_ || ended_ || site_.draining) {
    return Close();
  } else {
    waiting_since_ = Clock::now();
    SetTime(site_.limits.idle_seconds);
    Advance();
  }
  WaitToRead();
}

void Connection::WriteLog(int status) {
  if (status >= 400) site_.errors.Add(1);
  if (site_.log == nullptr) return;
  record_.status = status;
  record_.tokens = reply_.tokens;
  site_.log->Write(record_);
}

bool Connection::Hold(size_t bytes) {
  site_.buffered_bytes += bytes - held_;
  held_ = bytes;
  return bytes == 0 || site_.buffered_bytes <= site_.limits.buffered_bytes;
}

void Connection::CheckTime(Clock::time_point now) {
  if (now < deadline_) return;
  if (phase_ == Phase::kWaiting && !writing_) {
    deadline_ = Clock::time_point::max();
    if (reply_.stream && reply_.type == kEventStream) SendPiece(std::string(kEmptyEvent), /*is_end=*/false);
    return;
  }
  if (phase_ == Phase::kReading && begun_) {
    return Refuse(ErrorReply(
        408, fmt::format("request: its {} took longer than {} seconds", accepted_ ? "body" : "header",
                         accepted_ ? site_.limits.body_seconds : site_.limits.header_seconds)));
  }
  Close();
}

void Connection::Drain() {
  if (phase_ == Phase::kReading) Close();
}

void Connection::CancelReply() {
  if (source_) source_->Cancel();
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  if (phase_ == Phase::kWorking || phase_ == Phase::kWaiting || phase_ == Phase::kSending)
    WriteLog(kClientGone);
  phase_ = Phase::kClosed;
  gone_ = true;
  source_.reset();
  Hold(0);
  ErrorOfSystem ignored;
  socket_.close(ignored);
  site_.on_close(*this);
}

}  // namespace throng::serve
