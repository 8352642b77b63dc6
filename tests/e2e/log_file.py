#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""log_file: every line also goes to files that are begun anew by size."""
import glob
import os
import signal
import sys
import tempfile

import agent


def written(folder):
    text = ''
    for path in sorted(glob.glob(folder + '/agent-*.txt')):
        assert os.stat(path).st_mode & 0o777 == 0o640, path
        with open(path) as f:
            text += f.read()
    return text


def test_lines_go_to_files_of_bounded_size(opts):
    with tempfile.TemporaryDirectory() as folder:
        config = {'log_file': folder + '/agent.txt', 'log_rotate_bytes': 500}
        with agent.Agent(opts, config) as server:
            server.start()
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 1
            server.check_log()
        text = written(folder)
        for line in ('Started HTTP server', 'cluster leadership acquired', 'Exit code: code=1'):
            assert line in text, '%r missing in %s' % (line, text)
        files = glob.glob(folder + '/*')
        assert len(files) > 1, files
        for path in files:
            assert os.path.getsize(path) <= 500, path


def test_old_files_are_pruned(opts):
    with tempfile.TemporaryDirectory() as folder:
        config = {'log_file': folder + '/agent.txt', 'log_rotate_bytes': 200,
                  'log_rotate_max_files': 1}
        with agent.Agent(opts, config) as server:
            server.start()
            server.signal(signal.SIGTERM)
            server.wait_end()
        assert len(glob.glob(folder + '/*')) == 2, os.listdir(folder)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
