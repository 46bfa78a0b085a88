#include "services/preference_broker/rpc/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>

namespace backflip::preference_broker {
namespace {

// No job here speaks to a database.
std::unique_ptr<Connection> NoDatabase() {
  return std::make_unique<Connection>("", "test", nullptr);
}

TEST(Pool, OneCallersJobsFillHalfOfAQueueAndKeepNoOtherCallerWaiting) {
  Pool pool(2, 8, NoDatabase);
  std::latch begun(2);
  std::promise<void> first, second;
  std::atomic<int> of_one{0}, before_the_other{-1};
  const auto held = [&](std::promise<void>& until) {
    return pool.Submit(
        [&](Connection&) {
          begun.count_down();
          until.get_future().wait();
        },
        Lane::kShort, 1);
  };
  ASSERT_TRUE(held(first) && held(second));
  begun.wait();
  int taken = 0;
  while (taken < 100 && pool.Submit([&](Connection&) { ++of_one; }, Lane::kShort, 1)) ++taken;
  EXPECT_EQ(taken, 4);
  std::promise<void> done;
  ASSERT_TRUE(pool.Submit(
      [&](Connection&) {
        before_the_other = of_one.load();
        done.set_value();
      },
      Lane::kShort, 2));
  first.set_value();
  done.get_future().wait();
  EXPECT_EQ(before_the_other, 0) << "it waited for those that came before it";
  second.set_value();
}

}  // namespace
}  // namespace backflip::preference_broker
