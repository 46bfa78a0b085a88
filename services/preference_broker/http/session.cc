#include "services/preference_broker/http/session.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "common/base/log.h"
#include "services/preference_broker/http/message.h"

namespace backflip::preference_broker {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Most bytes of bodies that have come in part and of answers that are read, over all connections,
// and over those of one address.
constexpr int64_t kMaxPendingBytes = 256 << 20;
constexpr int64_t kMaxPendingBytesOfAddress = 32 << 20;
constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kReadBodyBytes = 64 << 10;
constexpr size_t kWriteBytes = 64 << 10;
// How long a client may read the last answer before its connection is closed, and how much it
// may send meanwhile. Closing at once could discard what was written.
constexpr std::chrono::seconds kLinger(2);
constexpr size_t kLingerBytes = 16 << 20;

// Work on longer messages leaves the connection's thread.
constexpr size_t kHeavyBytes = 64 << 10;

template <typename Stream>
class SessionOn final : public Session, public std::enable_shared_from_this<SessionOn<Stream>> {
 public:
  SessionOn(std::shared_ptr<Shard> shard, Stream stream, std::shared_ptr<void> slot)
      : shard_(std::move(shard)),
        shared_(shard_->shared),
        slot_(std::move(slot)),
        stream_(std::move(stream)),
        wake_(shard_->context, Clock::time_point::max()) {}

  // From the shard's thread.
  void Start() {
    shard_->sessions.insert(this);
    error_code error;
    place_ = Place(stream_.lowest_layer().remote_endpoint(error).address());
    asio::co_spawn(shard_->context, Run(this->shared_from_this()), asio::detached);
  }

  void CheckDeadline(Clock::time_point now) override {
    if (now >= deadline_) Close();
  }
  void CloseIdle() override {
    if (idle_) Close();
  }
  void Abort() override {
    if (call_ != nullptr && !call_done_) call_->Cancel();
    Close();
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  // The bytes of one request, as Shared counts them.
  struct Pending {
    Pending(Shared* s, std::string from) : shared(s), address(std::move(from)) {}
    ~Pending() { Set(0); }
    // False: there are too many.
    bool Set(int64_t now) { return shared->Pend(address, now - std::exchange(bytes, now)); }
    Shared* const shared;
    const std::string address;
    int64_t bytes = 0;
  };

  static asio::awaitable<void> Run(std::shared_ptr<SessionOn> self) {
    try {
      co_await self->Serve();
    } catch (const std::exception& error) {
      base::LogError("a connection is given up", {{"error", error.what()}});
    }
    self->Close();
    // a read that was started must end before the last reference goes
    while (self->reading_) co_await self->Pause();
    self->shard_->sessions.erase(self.get());
    self->shared_->Count(-1);
  }

  asio::awaitable<void> Serve() {
    Within(shared_->options.patience);
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      error_code error;
      co_await stream_.async_handshake(ssl::stream_base::server, Into(error));
      if (error) co_return;
    }
    bool keep = true;
    while (keep) {
      // the connection may be closed silently only here, where nothing of a request has come
      Within(shared_->options.idle);
      idle_ = buffer_.size() == 0;
      if (idle_ && shared_->draining) co_return;
      if (idle_) co_await Read(kReadBytes);
      idle_ = false;
      if (buffer_.size() == 0) co_return;
      keep = co_await ServeOne();
      if (buffer_.size() == 0 && !reading_) buffer_.shrink_to_fit();
    }
    co_await Linger();
  }

  // Reads a request and answers it. False: it was the connection's last.
  asio::awaitable<bool> ServeOne() {
    Parser parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(kMaxBodyBytes);
    if (!co_await ReadHead(&parser)) co_return false;
    HttpRequest request = Head(parser.get());
    request.address =
        shared_->options.public_url.empty() ? place_ : ForwardedPlace(parser.get(), place_);
    std::variant<Answer, Route> found = shared_->gateway.Find(request);
    std::optional<Answer> refused;
    if (auto* const answer = std::get_if<Answer>(&found)) {
      refused = std::move(*answer);
    } else {
      refused = co_await Admit(std::get<Route>(found), request);
    }
    const size_t limit =
        refused.has_value() ? kMaxAnonymousBodyBytes : MaxBodyBytes(std::get<Route>(found));
    Pending pending(shared_, request.address);
    const bool unread = !parser.is_done() && refused.has_value() && !IsShort(parser);
    if (!unread) {
      const Body body = co_await ReadBody(&parser, limit, &pending);
      if (body == Body::kGone) co_return false;
      if (body == Body::kTooLong && !refused.has_value()) refused = TooLong(limit);
    }
    const bool keep = parser.is_done() && parser.keep_alive();
    Answer answer;
    if (refused.has_value()) {
      answer = *std::move(refused);
    } else {
      request.body = std::move(parser.get().body());
      if (!co_await MakeAnswer(std::get<Route>(found), request, &answer)) co_return false;
    }
    // what nobody else holds takes memory for as long as the client reads
    const bool fits = pending.Set(answer.body.use_count() == 1 ? answer.body->size() : 0);
    if (!fits) answer = Busy();
    const bool more = keep && !shared_->draining;
    const bool written = co_await Write(request, std::move(answer), more);
    co_return written&& more;
  }

  static size_t MaxBodyBytes(const Route& route) {
    if (route.kind != Route::Kind::kMethod) return 0;
    return route.closed ? kMaxBodyBytes : kMaxAnonymousBodyBytes;
  }

  // False: the client is gone.
  asio::awaitable<bool> MakeAnswer(const Route& route, const HttpRequest& request, Answer* answer) {
    std::variant<Answer, std::unique_ptr<GatewayCall>> handled;
    const bool heavy = request.body.size() > kHeavyBytes || !request.content_encoding.empty();
    co_await Do(heavy, [&] { handled = shared_->gateway.Handle(route, request); });
    auto* const call = std::get_if<std::unique_ptr<GatewayCall>>(&handled);
    if (call != nullptr && !co_await RunCall(call->get())) co_return false;
    const bool heavy_answer = call != nullptr && (*call)->ResponseBytes() > kHeavyBytes;
    co_await Do(heavy_answer, [&] {
      *answer = call == nullptr ? std::move(std::get<Answer>(handled)) : (*call)->Finish();
      Gateway::Encode(request, answer);
    });
    co_return true;
  }

  // Does work here, or, where it is heavy, on another thread while this one serves others.
  template <typename Work>
  asio::awaitable<void> Do(bool heavy, const Work& work) {
    if (!heavy) {
      work();
      co_return;
    }
    bool done = false;
    std::exception_ptr failure;
    asio::post(shared_->heavy, [&, shard = shard_, this] {
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
      asio::post(shard->context, [&, this] {
        done = true;
        wake_.cancel();
      });
    });
    deadline_ = Clock::time_point::max();
    while (!done) co_await Pause();
    if (failure != nullptr) std::rethrow_exception(failure);
  }

  // Nothing: the body may be read.
  asio::awaitable<std::optional<Answer>> Admit(const Route& route, const HttpRequest& request) {
    struct Admission {
      bool done = false;
      std::optional<Answer> refused;
    };
    const auto admission = std::make_shared<Admission>();
    deadline_ = Clock::time_point::max();  // a busy database is not the client's fault
    shared_->gateway.Admit(
        route, request,
        [self = this->shared_from_this(), admission](std::optional<Answer> refused) {
          asio::post(self->shard_->context, [self, admission, refused = std::move(refused)] {
            admission->done = true;
            admission->refused = refused;
            self->wake_.cancel();
          });
        });
    while (!admission->done) co_await Pause();
    co_return std::move(admission->refused);
  }

  // Reads the first line and the headers. False: the client is gone, or was told what is wrong.
  asio::awaitable<bool> ReadHead(Parser* parser) {
    Within(shared_->options.patience);
    while (!parser->is_header_done()) {
      error_code error;
      buffer_.consume(parser->put(buffer_.data(), error));
      if (error && error != http::error::need_more) {
        co_await Write(HttpRequest(), BadRequest(error), false);
        co_return false;
      }
      if (parser->is_header_done()) break;
      if (error != http::error::need_more && buffer_.size() > 0) continue;
      co_await Read(kReadBytes);
      if (read_error_) co_return false;
    }
    co_return true;
  }

  // Whether the rest of a request is worth reading although it is refused: the connection goes on.
  static bool IsShort(const Parser& parser) {
    return parser.content_length().value_or(kMaxBodyBytes) <= kMaxAnonymousBodyBytes &&
           !ExpectsContinue(parser);
  }
  static bool ExpectsContinue(const Parser& parser) {
    return boost::beast::iequals(parser.get()[http::field::expect], "100-continue");
  }

  enum class Body {
    kWhole,
    // It was not read to its end.
    kTooLong,
    // The client is, or was told what is wrong with its body.
    kGone,
  };
  asio::awaitable<Body> ReadBody(Parser* parser, size_t limit, Pending* pending) {
    Within(shared_->options.patience);
    if (parser->content_length().value_or(0) > limit) co_return Body::kTooLong;
    if (!parser->is_done() && ExpectsContinue(*parser)) co_await WriteContinue();
    while (!parser->is_done()) {
      error_code error;
      buffer_.consume(parser->put(buffer_.data(), error));
      if (error && error != http::error::need_more) {
        co_await Write(HttpRequest(), BadRequest(error), false);
        co_return Body::kGone;
      }
      if (parser->is_done()) break;
      if (parser->get().body().size() > limit) co_return Body::kTooLong;
      if (!pending->Set(parser->get().body().size())) {
        co_await Write(HttpRequest(), Busy(), false);
        co_return Body::kGone;
      }
      if (error != http::error::need_more && buffer_.size() > 0) continue;
      co_await Read(kReadBodyBytes);
      if (read_error_) co_return Body::kGone;
    }
    co_return parser->get().body().size() > limit ? Body::kTooLong : Body::kWhole;
  }

  // Runs a call until it is done. False: the client has gone away, which cancels the call.
  asio::awaitable<bool> RunCall(GatewayCall* call) {
    deadline_ = Clock::time_point::max();  // the call has its own
    call_ = call;
    call_done_ = false;
    // its thread may still be in this function when this session has ended
    call_->Start([shard = shard_, this] {
      asio::post(shard->context, [this] {
        call_done_ = true;
        wake_.cancel();
      });
    });
    bool cancelled = false;
    while (!call_done_) {
      if (read_error_ && !cancelled) {
        cancelled = true;
        call_->Cancel();
      }
      // a client that has already sent more is not monitored
      if (buffer_.size() == 0) StartReading(kReadBytes);
      co_await Pause();
    }
    call_ = nullptr;
    co_return !read_error_;
  }

  // False: the client is gone.
  asio::awaitable<bool> Write(const HttpRequest& request, Answer answer, bool keep_alive) {
    // the body stays with `answer`
    const bool bodiless = request.method == "HEAD" || answer.status == 304;
    http::response<http::span_body<const char>> response(static_cast<http::status>(answer.status),
                                                         11);
    SetHeaders(answer, shared_->gateway.secure(), keep_alive, &response.base());
    if (answer.status != 304) response.content_length(answer.body->size());
    if (!bodiless)
      response.body() = boost::beast::span<const char>(answer.body->data(), answer.body->size());
    http::response_serializer<http::span_body<const char>> serializer(response);
    serializer.limit(kWriteBytes);
    while (!serializer.is_done()) {
      Within(shared_->options.patience);
      error_code error;
      co_await http::async_write_some(stream_, serializer, Into(error));
      if (error) co_return false;
    }
    co_return true;
  }

  asio::awaitable<void> WriteContinue() {
    static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    error_code error;
    // a client that is gone is noticed by the next read
    co_await asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                               Into(error));
  }

  // Lets the client read what was written before the connection goes.
  asio::awaitable<void> Linger() {
    error_code ignored;
    stream_.lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
    Within(kLinger);
    size_t read = 0;
    while (!read_error_ && read < kLingerBytes) {
      co_await Read(kReadBodyBytes);
      read += buffer_.size();
      buffer_.consume(buffer_.size());
    }
  }

  // Reads at least a byte into the buffer, or sets read_error_.
  asio::awaitable<void> Read(size_t bytes) {
    StartReading(bytes);
    while (reading_) co_await Pause();
  }

  // The buffer must not be touched until reading_ is false again.
  void StartReading(size_t bytes) {
    if (reading_ || read_error_) return;
    reading_ = true;
    stream_.async_read_some(buffer_.prepare(bytes), [this](const error_code& error, size_t count) {
      reading_ = false;
      read_error_ = error;
      buffer_.commit(count);
      wake_.cancel();
    });
  }

  // Waits until something has happened; the caller checks what.
  asio::awaitable<void> Pause() {
    error_code ignored;
    co_await wake_.async_wait(Into(ignored));
  }

  void Within(Clock::duration duration) { deadline_ = Clock::now() + duration; }

  void Close() {
    deadline_ = Clock::time_point::max();
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

  const std::shared_ptr<Shard> shard_;
  Shared* const shared_;
  const std::shared_ptr<void> slot_;
  Stream stream_;
  // Cancelled whenever something has happened; never expires.
  asio::steady_timer wake_;
  Clock::time_point deadline_ = Clock::time_point::max();
  boost::beast::flat_buffer buffer_;
  // Where the peer is.
  std::string place_;
  bool reading_ = false;
  error_code read_error_;
  bool idle_ = false;
  GatewayCall* call_ = nullptr;
  bool call_done_ = false;
};

template <typename Stream>
void Start(std::shared_ptr<Shard> shard, Stream stream, std::shared_ptr<void> slot) {
  asio::io_context& context = shard->context;
  auto session =
      std::make_shared<SessionOn<Stream>>(std::move(shard), std::move(stream), std::move(slot));
  asio::post(context, [session = std::move(session)] { session->Start(); });
}

}  // namespace

bool Shared::Pend(const std::string& address, int64_t change) {
  if (change == 0) return true;
  base::MutexLock lock(&mutex);
  pending += change;
  const auto of_address = pending_of.try_emplace(address, 0).first;
  const int64_t bytes = of_address->second += change;
  if (bytes == 0) pending_of.erase(of_address);
  return pending <= kMaxPendingBytes && bytes <= kMaxPendingBytesOfAddress;
}

void StartSession(std::shared_ptr<Shard> shard, tcp::socket socket, std::shared_ptr<void> slot) {
  Start(std::move(shard), std::move(socket), std::move(slot));
}
void StartSession(std::shared_ptr<Shard> shard, ssl::stream<tcp::socket> stream,
                  std::shared_ptr<void> slot) {
  Start(std::move(shard), std::move(stream), std::move(slot));
}

}  // namespace backflip::preference_broker
