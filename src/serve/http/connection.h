// One client's connection: reads requests, has them answered, and sends the replies. It costs no thread:
// everything here happens on the server's one thread, endpoints that take longer run on a worker.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "engine/metrics.h"
#include "serve/http/limits.h"
#include "serve/http/request_log.h"
#include "serve/http/request_reader.h"
#include "serve/http/router.h"

namespace throng::serve {

class Connection;

// What the connections of a server share. Only the thread that runs `io` uses it.
struct Site {
  const HttpLimits& limits;
  const Router& router;
  boost::asio::io_context& io;
  boost::asio::thread_pool& workers;
  boost::asio::thread_pool& slow_worker;  // for what TakesLong
  RequestLog* log;                        // or null
  engine::Metric& requests;
  engine::Metric& errors;
  engine::Metric& connections;
  std::function<void(Connection&)> on_close;

  int jobs = 0;               // that the workers have, the slow one included
  size_t buffered_bytes = 0;  // of bodies and replies
  bool draining = false;      // no connection waits for another request
  std::array<char, 64 << 10> scratch{};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  // address: for the log.
  Connection(Site& site, boost::asio::ip::tcp::socket socket, std::string address);

  void Start();
  void CheckTime(Clock::time_point now);  // called now and then: ends what takes too long
  void Drain();                           // closes once the request in work is answered
  void CancelReply();                     // an answer in work should end
  void Close();

  // Since when it has been waiting for a request to be complete; nothing if it is not.
  std::optional<Clock::time_point> WaitingSince() const;

 private:
  enum class Phase {
    kReading,    // a request
    kWorking,    // an endpoint has the request
    kWaiting,    // for more from the source of the reply
    kSending,    // the end of the reply
    kLingering,  // the client is still sending what is not wanted, and should read the refusal first
    kClosed
  };

  void WaitToRead();
  void Read();
  void OnEnd();
  void Advance();
  void Decide();
  void BeginRecord();
  void Dispatch();
  void Work(HttpRequest request);
  void Answer(HttpReply reply);
  void Refuse(HttpReply reply);
  void Pump();
  void SendPiece(std::string body, bool is_end);
  void SendWhole();
  void Write(std::string head, std::string body);
  void OnWritten();
  void FinishReply();
  bool Hold(size_t bytes);
  void WriteLog(int status);
  void SetTime(double seconds);

  Site& site_;
  boost::asio::ip::tcp::socket socket_;
  const std::string address_;
  RequestReader reader_;
  Phase phase_ = Phase::kReading;
  Clock::time_point deadline_;
  Clock::time_point waiting_since_;
  bool reading_ = false;  // a wait for bytes is under way
  bool writing_ = false;
  bool ended_ = false;              // the client sends nothing more
  bool begun_ = false;              // the first byte of the request is here
  bool accepted_ = false;           // its header is complete and accepted
  std::atomic<bool> gone_ = false;  // read by the worker

  const Route* route_ = nullptr;
  RequestRecord record_;
  HttpReply reply_;
  std::shared_ptr<ReplySource> source_;
  bool head_sent_ = false;
  bool close_ = false;  // after the reply
  size_t held_ = 0;     // bytes counted in site_.buffered_bytes
  std::string out_head_;
  std::string out_body_;
};

}  // namespace throng::serve
