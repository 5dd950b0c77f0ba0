package dev.protojobs.client;

import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.Stream;

/** Reads lists page by page. */
final class Pages {
  private Pages() {}

  /** One answer of a list. */
  record Page<T>(List<T> items, String nextToken) {}

  /** Streams all pages; the next one is fetched when the one before it is used up. */
  static <T> Stream<T> stream(Function<String, Page<T>> read) {
    return Stream.iterate(
            read.apply(""),
            Objects::nonNull,
            page -> page.nextToken.isEmpty() ? null : read.apply(page.nextToken))
        .flatMap(page -> page.items.stream());
  }
}
