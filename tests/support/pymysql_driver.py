"""Import it before Django connects: PyMySQL calls itself mysqlclient, which Django asks for."""

from __future__ import annotations

from typing import Any

import pymysql

_driver: Any = pymysql
_driver.version_info = (2, 2, 1, "final", 0)  # the oldest that Django accepts
_driver.install_as_MySQLdb()
