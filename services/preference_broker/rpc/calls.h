// The shapes of calls: unary, long poll, paged stream, chunked upload. Each checks who calls, runs
// on the pool, and holds no thread while it waits. Which method is called, hence who may call it,
// follows from the type of the request.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_CALLS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/mutex.h"
#include "common/base/rare_warning.h"
#include "common/base/status_macros.h"
#include "common/rpc/allowances.h"
#include "common/rpc/limits.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "services/preference_broker/rpc/hub.h"
#include "services/preference_broker/rpc/pool.h"
#include "services/preference_broker/rpc/roles.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// A signal may be lost with the broker that sent it, so waiting calls also look this often.
inline constexpr std::chrono::milliseconds kLookAgain(1000);

// Caches who each token stands for: a revoked token is refused within kTokenMemory. Limits how many
// calls each caller has open, and how many tokens each network may guess. Thread-safe.
class Authenticator {
 public:
  // UNAUTHENTICATED: it is no good token; RESOURCE_EXHAUSTED: too many that were none have come
  // from `network` (rpc::NetworkOf). Empty: whoever passes the call on counts them.
  absl::StatusOr<Caller> Check(Connection& connection, const std::string& token,
                               const std::string& network);
  // A call's place among those that are open.
  struct Place {
    std::shared_ptr<void> of_token;
    std::shared_ptr<void> of_network;
    size_t who = 0;         // as of Pool::Submit
    bool stranger = false;  // the token was not known to be good
  };
  // To be kept until the call ends. RESOURCE_EXHAUSTED: its token or its network has too many.
  absl::StatusOr<Place> Enter(const std::string& token, const std::string& network);
  // For a call that needs no token, or has one that is not known. RESOURCE_EXHAUSTED as of Check.
  absl::Status TakeGuess(const std::string& network);
  // Tokens were revoked through this broker, which refuses them from now on. (Other brokers do
  // within kTokenMemory.)
  void Forget();
  // Logs that a call without a valid token came from `peer`.
  void NoteRefusal(const std::string& peer, const absl::Status& why) {
    refusals_.Log(peer, why.message());
  }

 private:
  static constexpr std::chrono::seconds kTokenMemory{2};
  static constexpr size_t kMaxKnown = 20'000;
  struct Known {
    Caller caller;
    Hub::Clock::time_point until;
  };
  base::Mutex mutex_;
  // by the token's hash; those that were good when they were looked up
  std::unordered_map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
  rpc::Allowances guesses_ ABSL_GUARDED_BY(mutex_){rpc::kGuessesPerSecond, rpc::kGuessesAtFirst};
  rpc::Slots open_;
  base::RareWarning refusals_{"gRPC calls without a valid token are refused"};
};

// What every service needs; owned by the broker, outlives all calls.
struct CallContext {
  Pool* pool;
  Hub* hub;
  Authenticator* authenticator;

  // The place of a call that begins: of Authenticator::Enter.
  absl::StatusOr<Authenticator::Place> Enter(const grpc::CallbackServerContext& context) const {
    return authenticator->Enter(rpc::BearerToken(context), rpc::NetworkOf(context.peer()));
  }

  // Caller() where the method is open to anyone. `context`: of the call that carries the token;
  // `place`: of the call, which may be another afterwards.
  absl::StatusOr<Caller> Authorize(Connection& connection, const std::string& token,
                                   const Method& method, const grpc::CallbackServerContext& context,
                                   Authenticator::Place* place) const {
    const std::string network = rpc::NetworkOf(context.peer());
    if (IsOpenToAnyone(method)) {
      RETURN_IF_ERROR(authenticator->TakeGuess(network));
      return Caller();
    }
    const absl::StatusOr<Caller> caller = authenticator->Check(connection, token, network);
    if (absl::IsUnauthenticated(caller.status()) || absl::IsResourceExhausted(caller.status()))
      authenticator->NoteRefusal(context.peer(), caller.status());
    RETURN_IF_ERROR(caller.status());
    RETURN_IF_ERROR(CheckRole(method, caller->role));
    if (place->stranger) {
      *place = {};
      ASSIGN_OR_RETURN(*place, authenticator->Enter(token, network));
    }
    return caller;
  }
};

inline absl::Status PoolFull() {
  return absl::ResourceExhaustedError("the broker is busy: try again in a moment");
}
inline absl::Status Draining() {
  return absl::UnavailableError("the broker is shutting down: connect again");
}

// What a page of a list may hold, so that an answer stays below rpc::kMaxMessageBytes.
inline constexpr size_t kPageBytes = 2 << 20;

// Leaves of `items`, all that a call lists, those that make the page: from the place that `page`
// names on, the answer's next_page before. INVALID_ARGUMENT: it names none.
template <typename Items, typename Response>
absl::Status CutPage(const std::string& page, Items* items, Response* response) {
  int from = 0;
  if (!page.empty() && (!absl::SimpleAtoi(page, &from) || from < 0)) {
    return absl::InvalidArgumentError("page must be the next_page of the answer before, or empty");
  }
  from = std::min(from, items->size());
  int end = from;
  for (size_t bytes = 0; end < items->size() && bytes < kPageBytes; ++end)
    bytes += items->Get(end).ByteSizeLong() + 8;
  if (end < items->size()) response->set_next_page(absl::StrCat(end));
  items->DeleteSubrange(end, items->size() - end);
  items->DeleteSubrange(0, from);
  return absl::OkStatus();
}

// Answers the method that takes `request`. `work`: absl::Status(Connection&, const Caller&); fills
// in the response that it has captured.
template <typename Work>
grpc::ServerUnaryReactor* Unary(const CallContext& calls, const google::protobuf::Message* request,
                                grpc::CallbackServerContext* context, Work work) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const Method& method = MethodOf(*request);
  const auto place = calls.Enter(*context);
  if (!place.ok()) {
    reactor->Finish(rpc::ToGrpc(place.status()));
    return reactor;
  }
  const bool taken = calls.pool->Submit(
      [calls, &method, reactor, context, token = rpc::BearerToken(*context), place = *place,
       work = std::move(work)](Connection& connection) mutable {
        const absl::Status status = [&]() -> absl::Status {
          // its deadline may have passed in the queue
          if (context->IsCancelled()) return absl::CancelledError("the caller has gone");
          ASSIGN_OR_RETURN(const Caller caller,
                           calls.Authorize(connection, token, method, *context, &place));
          return work(connection, caller);
        }();
        reactor->Finish(rpc::ToGrpc(status));
      },
      LaneOf(method), place->who);
  if (!taken) reactor->Finish(rpc::ToGrpc(PoolFull()));
  return reactor;
}

// Repeats `attempt` until it returns true (the response has what the caller waits for) or `wait_ms`
// have passed; the response is then sent as the last attempt left it.
class LongPoll : public std::enable_shared_from_this<LongPoll> {
 public:
  using Attempt = std::function<absl::StatusOr<bool>(Connection&, const Caller&)>;

  static grpc::ServerUnaryReactor* Start(const CallContext& calls,
                                         const google::protobuf::Message* request,
                                         grpc::CallbackServerContext* context, int32_t wait_ms,
                                         std::string topic, Attempt attempt,
                                         std::chrono::milliseconds look_again = kLookAgain) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (wait_ms < 0 || wait_ms > rpc::kMaxWaitMs) {
      reactor->Finish(rpc::ToGrpc(absl::InvalidArgumentError(
          absl::StrCat("wait_ms is ", wait_ms, ", but must be from 0 to ", rpc::kMaxWaitMs))));
      return reactor;
    }
    auto poll =
        std::shared_ptr<LongPoll>(new LongPoll(calls, MethodOf(*request), context, reactor, wait_ms,
                                               std::move(topic), std::move(attempt), look_again));
    if (!poll->place_.ok()) {
      poll->Finish(poll->place_.status());
    } else if (!poll->Submit()) {
      poll->Finish(PoolFull());
    }
    return reactor;
  }

 private:
  LongPoll(const CallContext& calls, const Method& method, grpc::CallbackServerContext* context,
           grpc::ServerUnaryReactor* reactor, int32_t wait_ms, std::string topic, Attempt attempt,
           std::chrono::milliseconds look_again)
      : calls_(calls),
        method_(method),
        context_(context),
        reactor_(reactor),
        token_(rpc::BearerToken(*context)),
        until_(Hub::Clock::now() + std::chrono::milliseconds(wait_ms)),
        topic_(std::move(topic)),
        attempt_(std::move(attempt)),
        look_again_(look_again),
        place_(calls.Enter(*context)) {}

  bool Submit() {
    return calls_.pool->Submit(
        [self = shared_from_this()](Connection& connection) { self->Try(connection); },
        LaneOf(method_), place_->who);
  }

  void Try(Connection& connection) {
    if (context_->IsCancelled()) return Finish(absl::CancelledError("the caller has gone"));
    const uint64_t since = calls_.hub->Now();
    const bool last = Hub::Clock::now() >= until_ || calls_.hub->draining();
    const absl::StatusOr<bool> done = [&]() -> absl::StatusOr<bool> {
      ASSIGN_OR_RETURN(const Caller caller,
                       calls_.Authorize(connection, token_, method_, *context_, &*place_));
      return attempt_(connection, caller);
    }();
    if (!done.ok()) return Finish(done.status());
    if (*done || last) return Finish(absl::OkStatus());
    calls_.hub->Wait(topic_, since, std::min(until_, Hub::Clock::now() + look_again_),
                     [self = shared_from_this()] { self->Wake(); });
  }

  void Wake() {
    // many may wake at once: they queue behind new calls
    if (calls_.pool->SubmitPatient(
            [self = shared_from_this()](Connection& connection) { self->Try(connection); },
            LaneOf(method_), place_->who))
      return;
    if (calls_.hub->draining()) return Finish(Draining());
    // the pool is full: look again when it may have emptied
    calls_.hub->Wait("", 0, Hub::Clock::now() + std::chrono::milliseconds(50),
                     [self = shared_from_this()] { self->Wake(); });
  }

  void Finish(const absl::Status& status) { reactor_->Finish(rpc::ToGrpc(status)); }

  const CallContext calls_;
  const Method& method_;
  grpc::CallbackServerContext* const context_;
  grpc::ServerUnaryReactor* const reactor_;
  const std::string token_;
  const Hub::Clock::time_point until_;
  const std::string topic_;
  const Attempt attempt_;
  const std::chrono::milliseconds look_again_;
  absl::StatusOr<Authenticator::Place> place_;
};

// A stream to the caller that is fetched page by page. One thing happens at a
// time: a fetch on the pool, a write, or a wait. Deletes itself.
template <typename Response>
class PagedStream : public grpc::ServerWriteReactor<Response> {
 public:
  enum class Next {
    kMore,  // fetch again once the page is written
    kWait,  // the same, after `topic` was signalled or a second has passed
    kEnd,
  };
  // Appends a page, of a few MB at most. Runs on the pool, never twice at once.
  using Fetch =
      std::function<absl::StatusOr<Next>(Connection&, const Caller&, std::deque<Response>*)>;

  static grpc::ServerWriteReactor<Response>* Start(const CallContext& calls,
                                                   const google::protobuf::Message* request,
                                                   grpc::CallbackServerContext* context,
                                                   std::string topic, Fetch fetch) {
    auto* const stream =
        new PagedStream(calls, MethodOf(*request), context, std::move(topic), std::move(fetch));
    if (!stream->place_.ok()) {
      stream->Finish(rpc::ToGrpc(stream->place_.status()));
    } else if (!stream->Submit()) {
      stream->Finish(rpc::ToGrpc(PoolFull()));
    }
    return stream;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return this->Finish(rpc::ToGrpc(absl::CancelledError("the caller has gone")));
    page_.pop_front();
    Continue();
  }
  void OnDone() override { delete this; }

 private:
  PagedStream(const CallContext& calls, const Method& method, grpc::CallbackServerContext* context,
              std::string topic, Fetch fetch)
      : calls_(calls),
        method_(method),
        context_(context),
        token_(rpc::BearerToken(*context)),
        topic_(std::move(topic)),
        fetch_(std::move(fetch)),
        place_(calls.Enter(*context)) {}

  bool Submit() {
    return calls_.pool->Submit([this](Connection& connection) { FetchPage(connection); },
                               LaneOf(method_), place_->who);
  }

  void FetchPage(Connection& connection) {
    if (context_->IsCancelled())
      return this->Finish(rpc::ToGrpc(absl::CancelledError("the caller has gone")));
    since_ = calls_.hub->Now();
    const absl::StatusOr<Next> next = [&]() -> absl::StatusOr<Next> {
      // for each page, since the token of a long stream may be revoked
      ASSIGN_OR_RETURN(const Caller caller,
                       calls_.Authorize(connection, token_, method_, *context_, &*place_));
      return fetch_(connection, caller, &page_);
    }();
    if (!next.ok()) return this->Finish(rpc::ToGrpc(next.status()));
    next_ = *next;
    Continue();
  }

  void Continue() {
    if (!page_.empty()) return this->StartWrite(&page_.front());
    if (next_ == Next::kEnd) return this->Finish(grpc::Status::OK);
    if (calls_.hub->draining()) return this->Finish(rpc::ToGrpc(Draining()));
    if (next_ == Next::kMore) return Wake();
    calls_.hub->Wait(topic_, since_, Hub::Clock::now() + kLookAgain, [this] { Wake(); });
  }

  void Wake() {
    if (Submit()) return;
    if (calls_.hub->draining()) return this->Finish(rpc::ToGrpc(Draining()));
    calls_.hub->Wait("", 0, Hub::Clock::now() + std::chrono::milliseconds(50), [this] { Wake(); });
  }

  const CallContext calls_;
  const Method& method_;
  grpc::CallbackServerContext* const context_;
  const std::string token_;
  const std::string topic_;
  const Fetch fetch_;
  absl::StatusOr<Authenticator::Place> place_;
  uint64_t since_ = 0;
  Next next_ = Next::kMore;
  std::deque<Response> page_;
};

// A stream from the caller that is gathered whole and then stored. Deletes
// itself.
template <typename Request>
class UploadStream : public grpc::ServerReadReactor<Request> {
 public:
  // Takes one message. An error ends the call.
  using Take = std::function<absl::Status(Request&)>;
  // absl::Status(Connection&, const Caller&); fills in the captured response.
  using Store = std::function<absl::Status(Connection&, const Caller&)>;

  static grpc::ServerReadReactor<Request>* Start(const CallContext& calls,
                                                 grpc::CallbackServerContext* context, Take take,
                                                 Store store) {
    auto* const upload = new UploadStream(calls, context, std::move(take), std::move(store));
    if (!upload->place_.ok()) {
      upload->Finish(rpc::ToGrpc(upload->place_.status()));
      return upload;
    }
    // callers without permission are refused before anything is read
    const bool taken = calls.pool->Submit(
        [upload](Connection& connection) {
          absl::StatusOr<Caller> caller = upload->calls_.Authorize(
              connection, upload->token_, upload->method_, *upload->context_, &*upload->place_);
          if (!caller.ok()) return upload->Finish(rpc::ToGrpc(caller.status()));
          upload->caller_ = *caller;
          upload->StartRead(&upload->request_);
        },
        LaneOf(upload->method_), upload->place_->who);
    if (!taken) upload->Finish(rpc::ToGrpc(PoolFull()));
    return upload;
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      const absl::Status status = take_(request_);
      if (!status.ok()) return this->Finish(rpc::ToGrpc(status));
      return this->StartRead(&request_);
    }
    if (context_->IsCancelled())
      return this->Finish(rpc::ToGrpc(absl::CancelledError("the caller has gone")));
    const bool taken = calls_.pool->Submit(
        [this](Connection& connection) { this->Finish(rpc::ToGrpc(store_(connection, caller_))); },
        LaneOf(method_), place_->who);
    if (!taken) this->Finish(rpc::ToGrpc(PoolFull()));
  }
  void OnDone() override { delete this; }

 private:
  UploadStream(const CallContext& calls, grpc::CallbackServerContext* context, Take take,
               Store store)
      : calls_(calls),
        method_(MethodOf(Request::default_instance())),
        context_(context),
        token_(rpc::BearerToken(*context)),
        take_(std::move(take)),
        store_(std::move(store)),
        place_(calls.Enter(*context)) {}

  const CallContext calls_;
  const Method& method_;
  grpc::CallbackServerContext* const context_;
  const std::string token_;
  const Take take_;
  const Store store_;
  absl::StatusOr<Authenticator::Place> place_;
  Caller caller_;
  Request request_;
};

// Gathers chunks up to the size that the first message announces.
class ChunkedBytes {
 public:
  // INVALID_ARGUMENT: the size is out of range, or `sha256` is no hash.
  absl::Status Begin(absl::string_view what, int64_t size, const std::string& sha256,
                     int64_t max_size);
  // DATA_LOSS: more bytes than announced.
  absl::Status Add(absl::string_view chunk);
  // DATA_LOSS: fewer bytes than announced, or another hash.
  absl::Status Check() const;
  bool begun() const { return begun_; }
  const std::string& bytes() const { return bytes_; }

 private:
  bool begun_ = false;
  std::string what_;
  int64_t size_ = 0;
  std::string sha256_;
  std::string bytes_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_CALLS_H_
